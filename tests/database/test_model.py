"""Any interleaving of everything that happens to intents, by several workers, on real PostgreSQL.

The machine plays the workers' part with the very statements they use, and keeps its own book of what the provider
accepted. After each step the doctor must be silent, and the book must agree with the rows.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from outbox import breaker, doctor, intents, recording, rescuer, transitions
from outbox.errors import NotAllowed
from outbox.models import Attempt, Intent
from outbox.outcomes import Outcome
from outbox.recording import Ended
from outbox.states import CLOSED, LATE_DELIVERED, MOVES, State
from outbox.transitions import Begun, Claim
from tests.database.outbox_steps import deferred, delivered, provider, refused, unavailable, unknown
from tests.factories import make_intent

LEASE = timedelta(seconds=10)
DEADLINE = timedelta(minutes=2)
WORKERS = st.integers(0, 2)
OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "deferred": deferred,
    "refused": refused,
    "unavailable": unavailable,
    "delivered": delivered,
    "accepted, but the answer was lost": unknown,
    "lost, and not accepted": unknown,
}
ACCEPTED = {"delivered", "accepted, but the answer was lost"}


@dataclass
class Worker:
    """What one process holds, or believes to hold: nobody tells it that a lease ran out."""

    claims: list[Claim] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)


class Outbox(RuleBasedStateMachine):
    """Three workers, people and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.workers = [Worker() for _ in range(3)]
        self.accepted: Counter[int] = Counter()
        self.before: dict[int, tuple[str, int]] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    @initialize()
    def starts(self) -> None:
        breaker.gate()

    # --- people and applications ------------------------------------------------------------------------------

    @rule(priority=st.integers(0, 2), repeatable=st.booleans())
    def enqueue(self, priority: int, repeatable: bool) -> None:
        make_intent(priority=priority, repeatable=repeatable)

    @rule(choice=st.randoms(use_true_random=False))
    def cancel(self, choice) -> None:
        if intent := self._any(choice):
            try:
                intents.cancel(intent, reason="a person said so")
            except NotAllowed:
                assert intent.state in CLOSED | {State.SENDING}

    @rule(choice=st.randoms(use_true_random=False))
    def replay(self, choice) -> None:
        if intent := self._any(choice):
            intents.replay([intent.pk], actor="somebody")

    @rule(choice=st.randoms(use_true_random=False))
    def resend(self, choice) -> None:
        if intent := self._any(choice):
            try:
                copy = intents.resend(intent, actor="somebody")
                assert copy.message_id != intent.message_id
            except NotAllowed:
                assert intent.state not in CLOSED

    # --- workers ----------------------------------------------------------------------------------------------

    @rule(worker=WORKERS, limit=st.integers(1, 4))
    def claim(self, worker: int, limit: int) -> None:
        allowed = breaker.allowance(limit)
        self.workers[worker].claims += transitions.claim(allowed, LEASE)

    @rule(worker=WORKERS)
    def take_over(self, worker: int) -> None:
        mine = [claim.intent_id for claim in self.workers[worker].claims]
        self.workers[worker].claims += transitions.take_over(2, LEASE, mine=mine)

    @rule(worker=WORKERS, solo=st.booleans())
    def begin(self, worker: int, solo: bool) -> None:
        holder = self.workers[worker]
        begun = transitions.begin(holder.claims, LEASE, solo=solo)
        holder.begun += begun
        tokens = {one.token for one in begun}
        holder.claims = [claim for claim in holder.claims if claim.token not in tokens]

    @rule(worker=WORKERS)
    def renew(self, worker: int) -> None:
        holder = self.workers[worker]
        transitions.renew([*holder.claims, *(one.claim for one in holder.begun)], LEASE, DEADLINE)

    @rule(worker=WORKERS)
    def give_back(self, worker: int) -> None:
        transitions.give_back(self.workers[worker].claims)
        self.workers[worker].claims = []

    @rule(worker=WORKERS, how=st.sampled_from(sorted(OUTCOMES)))
    def end(self, worker: int, how: str) -> None:
        """The oldest attempt of this worker ends; it may have lost its lease long ago."""
        holder = self.workers[worker]
        if not holder.begun:
            return
        begun = holder.begun.pop(0)
        reaches_data = how in {*ACCEPTED, "lost, and not accepted"}
        if reaches_data and not begun.repeatable and not transitions.begin_data(begun.claim):
            return  # the lane gives up before DATA
        self.accepted[begun.intent_id] += how in ACCEPTED
        recording.record([Ended(begun=begun, outcome=OUTCOMES[how]())], f"worker {worker}")

    @rule(worker=WORKERS)
    def record_twice(self, worker: int) -> None:
        """The commit's answer was lost, so the same outcome is recorded again."""
        holder = self.workers[worker]
        if holder.begun:
            begun = holder.begun.pop(0)
            if begun.repeatable or transitions.begin_data(begun.claim):
                self.accepted[begun.intent_id] += 1
                for _ in range(2):
                    recording.record([Ended(begun=begun, outcome=delivered())], f"worker {worker}")

    @rule(worker=WORKERS)
    def crash(self, worker: int) -> None:
        self.workers[worker] = Worker()

    # --- time -------------------------------------------------------------------------------------------------

    @rule(choice=st.randoms(use_true_random=False))
    def lease_runs_out(self, choice) -> None:
        held = list(Intent.objects.filter(lease_token__isnull=False).order_by("pk"))
        if held:
            Intent.objects.filter(pk=choice.choice(held).pk).update(lease_until=Now() - timedelta(seconds=1))

    @rule(choice=st.randoms(use_true_random=False))
    def lifetime_ends(self, choice) -> None:
        if intent := self._any(choice):
            Intent.objects.filter(pk=intent.pk).update(expires_at=Now() - timedelta(seconds=1))

    @rule()
    def backoff_passes(self) -> None:
        Intent.objects.filter(state=State.PENDING).update(due_at=Now() - timedelta(seconds=1))

    @rule()
    def sweep(self) -> None:
        rescuer.expire()
        rescuer.rescue()

    @precondition(lambda self: breaker.gate().circuit.is_open)
    @rule(passes=st.booleans())
    def probe(self, passes: bool) -> None:
        provider(probe_at=-timedelta(seconds=1))
        assert breaker.take_probe()
        breaker.probed(None if passes else unavailable())

    # --- what must hold ---------------------------------------------------------------------------------------

    @invariant()
    def the_doctor_is_silent(self) -> None:
        assert doctor.examine() == []

    @invariant()
    def states_move_along_their_arrows_only(self) -> None:
        now = {intent.pk: (intent.state, intent.attempts) for intent in Intent.objects.all()}
        for key, (state, attempts) in self.before.items():
            assert now[key][1] >= attempts
            assert State(now[key][0]) in _reachable(State(state)), f"{state} → {now[key][0]}"
        self.before = now

    @invariant()
    def the_book_agrees_with_the_rows(self) -> None:
        for intent in Intent.objects.all():
            accepted = self.accepted[intent.pk]
            if intent.state == State.EXPIRED:
                assert not accepted, "expired means provably not sent"
            if intent.state == State.SENT:
                assert accepted
            if not intent.repeatable:
                assert accepted <= 1
            certain = Attempt.objects.filter(intent=intent, outcome="delivered").count()
            assert certain <= accepted

    @invariant()
    def nobody_shares_a_token(self) -> None:
        held = Intent.objects.filter(lease_token__isnull=False).values_list("lease_token", flat=True)
        for token in held:
            holders = [
                worker
                for worker in self.workers
                if token in {claim.token for claim in worker.claims} | {begun.token for begun in worker.begun}
            ]
            assert len(holders) <= 1

    def _any(self, choice) -> Intent | None:
        found = list(Intent.objects.order_by("pk"))
        return choice.choice(found) if found else None


def _reachable(state: State) -> set[State]:
    """Where one step may lead: a turn makes several moves, and a late Delivered closes from nearly everywhere."""
    found, todo = {state}, [state]
    while todo:
        here = todo.pop()
        nexts = MOVES[here] | ({State.SENT} if here in LATE_DELIVERED else set())
        todo += nexts - found
        found |= nexts
    return found if state is not State.SENT else {State.SENT}


@pytest.mark.django_db(transaction=True)
def test_every_interleaving_keeps_the_invariants(outbox_settings):
    outbox_settings(LEASE=timedelta(seconds=1))
    run_state_machine_as_test(
        Outbox,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
