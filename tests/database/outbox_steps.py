"""Steps that tests of the outbox share."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from django.contrib.postgres.functions import TransactionNow as Now
from django.db import connection
from django.db.models import F

from outbox import breaker
from outbox.models import Intent, Provider
from outbox.outcomes import (
    Deferred,
    Delivered,
    Outcome,
    Phase,
    Refused,
    Reply,
    Unavailable,
    Unknown,
)
from outbox.policy import Bury, Decision, Finish, RetryAfter
from outbox.sender import Sender
from outbox.states import State
from outbox.transitions import Begun, Claim, Closing
from tests.factories import claim_of, make_intent
from tests.smtp import SmtpServer

NOTHING = timedelta()
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LOCKED_ROW = "SELECT 1 FROM outbox_intent WHERE id = %s FOR UPDATE"


def delivered(text: str = "2.0.0 queued") -> Delivered:
    return Delivered(phase=Phase.ANSWERED, reply=Reply(text=text, code=250, enhanced="2.0.0"))


def deferred(text: str = "4.2.2 mailbox full") -> Deferred:
    return Deferred(phase=Phase.ENVELOPE, reply=Reply(text=text, code=452, enhanced="4.2.2"))


def refused(text: str = "5.1.1 no such user") -> Refused:
    return Refused(phase=Phase.ENVELOPE, reply=Reply(text=text, code=550, enhanced="5.1.1"))


def unavailable(text: str = "Connection refused", *, phase: Phase = Phase.CONNECT) -> Unavailable:
    return Unavailable(phase=phase, reply=Reply(text=text))


def unknown(text: str = "Connection reset by peer") -> Unknown:
    return Unknown(phase=Phase.DATA, reply=Reply(text=text))


def closing(begun: Begun, outcome: Outcome, decision: Decision, **fields: Any) -> Closing:
    return Closing(
        claim=begun.claim,
        number=begun.number,
        outcome=outcome,
        decision=decision,
        task_id=begun.task_id,
        kind=begun.kind,
        **fields,
    )


def finish(begun: Begun) -> Closing:
    return closing(begun, delivered(), Finish())


def again(begun: Begun, wait: timedelta = NOTHING, **decided: Any) -> Closing:
    return closing(begun, deferred(), RetryAfter(wait, "4.2.2 mailbox full", **decided))


def bury(begun: Begun, **decided: Any) -> Closing:
    return closing(begun, refused(), Bury("5.1.1 no such user", **decided))


def reread(row: Intent | Begun) -> Intent:
    """The row as it is now."""
    return Intent.objects.get(pk=row.pk if isinstance(row, Intent) else row.intent_id)


def columns(intent: Intent) -> dict[str, object]:
    """Every column of the row as it is now."""
    return {**Intent.objects.filter(pk=intent.pk).values()[0]}


def states() -> list[str]:
    """The states of all intents, in the order they were written."""
    return list(Intent.objects.order_by("pk").values_list("state", flat=True))


def attempts_of(row: Intent | Begun) -> list[tuple[int, str, str]]:
    """Number, outcome and phase of each attempt that has ended."""
    return list(reread(row).history.values_list("number", "outcome", "phase"))


def with_a_stale_token(intent: Intent) -> Claim:
    """A hold on this row that another has taken over."""
    return Claim(intent.pk, uuid4())


def let_lease_run_out(row: Intent | Begun) -> None:
    Intent.objects.filter(pk=reread(row).pk).update(lease_until=Now() - SECOND)


def move_due(row: Intent | Begun, by: timedelta) -> None:
    Intent.objects.filter(pk=reread(row).pk).update(due_at=F("due_at") + by)


def provider(**columns: Any) -> Provider:
    """The provider's row, with these columns set; times are told from now."""
    breaker.gate()
    times = {name: Now() + value if isinstance(value, timedelta) else value for name, value in columns.items()}
    if "wait" in columns:
        times["wait"] = columns["wait"]
    if times:
        Provider.objects.update(**times)
    return Provider.objects.get()


@contextmanager
def locked_by_another(row: Intent | Begun) -> Iterator[None]:
    """Somebody's business transaction, on a connection of its own, holds the row within the block."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(LOCKED_ROW, [reread(row).pk])
        yield
        other.rollback()
    finally:
        other.close()


def kill_backend(pid: int) -> None:
    """End that backend as an administrator would, from a connection of our own."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        other.close()


def somebody_waits() -> bool:
    """Whether a connection of this database waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def eventually(holds: Callable[[], object], timeout: float = 30.0) -> None:
    """Return once it holds.

    Raises:
        AssertionError: it does not when the time is over.
    """
    ends = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < ends, f"not within {timeout} s"
        time.sleep(0.01)


def join_lanes() -> None:
    """Wait for the threads of lanes that were closed."""
    for thread in threading.enumerate():
        if thread.name.startswith("lane-"):
            thread.join(timeout=30)


def tokens(claims: list[Any]) -> set[UUID]:
    return {claim.token for claim in claims}


def in_state(state: State) -> int:
    return Intent.objects.filter(state=state).count()


class Working:
    """A sender at work in a thread of its own, as in a worker's process."""

    def __init__(self, sender: Sender, claims: Sequence[Claim] = (), *, once: Callable[[], bool] | None = None) -> None:
        """With `once` it begins nothing new from when that holds."""
        self._stop = once or (lambda: False)
        self._sender, self._claims = sender, claims
        self.backend = 0
        self.begun: int | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sender")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.join()

    def join(self, timeout: float = 60) -> None:
        """Wait until it has returned, and raise what it raised."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the sender still works"
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            self.backend = backend_pid()
            self._ready.set()
            self.begun = self._sender.work(self._claims, stopped=self._stop)
        except BaseException as failure:  # noqa: BLE001 — raised again in the test's own thread
            self._failure = failure
        finally:
            connection.close()


def handed_over(count: int = 1, **columns: Any) -> tuple[list[Intent], list[Claim]]:
    """Mails that a dispatcher claimed, and the claims as a task gets them."""
    made = [make_intent(State.CLAIMED, **columns) for _ in range(count)]
    return made, [claim_of(intent) for intent in made]


def recipients(smtp: SmtpServer) -> list[str]:
    """Who got a mail, in order."""
    return [message.recipients[0] for message in smtp.record.messages]
