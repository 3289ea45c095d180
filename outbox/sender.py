"""Turns claims into attempts, turn by turn: begins claims, gives them to lanes, records, renews, refills."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from django.db import connection, transaction

from outbox import binding, breaker, events, recording, rescuer, transitions
from outbox.affinity import OneCpu
from outbox.binding import Ready
from outbox.conf import Conf
from outbox.lanes import Flight, Lanes
from outbox.recording import LOST_CONNECTION, Ended, Recorded
from outbox.states import State
from outbox.transitions import Begun, Claim
from outbox.turn import Wanted

_LOWERED_FOR_S = 10.0  # how long a process keeps fewer lanes after the provider refused a connection
_SHORT_PAUSE_S = 0.01  # there is something to record or to begin: what was not bound, or was locked just now
_DATABASE_PAUSE_S = 0.5  # between tries to reach a database that is away


class Sender:
    """One per process. `work` is one slice; the lanes and their connections outlive it."""

    def __init__(self, conf: Conf, lanes: Lanes, worker: str, *, overdue: timedelta = timedelta()) -> None:
        """`overdue` is how long an intent must have been due before this sender claims it."""
        self.conf = conf
        self.lanes = lanes
        self.worker = worker
        self.overdue = overdue
        self._cpu = OneCpu()
        self._waiting: list[Claim] = []
        self._ended: list[Ended] = []
        self._renewed_at = self._swept_at = self._lowered_at = 0.0
        self._sought_solo_at = 0.0
        self._quick = not conf.rate  # whether the next turn may be a quick one

    def work(self, claims: Iterable[Claim] = (), *, stopped: Callable[[], bool] = lambda: False) -> int:
        """Begin these claims and, for one slice, what else is due; how many attempts were begun.

        Mails begun within the slice that still talk after it keep it going, so that one slow mail idles nobody;
        those begun after it are waited for.
        """
        self._waiting += claims
        self._renewed_at = time.monotonic()
        try:
            return self._slice(stopped)
        finally:
            self._cpu.release(self.lanes.thread_ids)

    def _slice(self, stopped: Callable[[], bool]) -> int:
        ends = time.monotonic() + self.conf.slice.total_seconds()
        done = 0
        while True:
            hanging = self._hanging()
            going_on = not stopped() and not hanging and (time.monotonic() < ends or self._talks_since_before(ends))
            begun = self._guarded_turn(refill=going_on)
            done += begun
            if not (begun or self.lanes.flights or self._ended or (going_on and self._waiting)):
                return done
            if done > self.lanes.limit:  # a backlog
                self._cpu.hold(self.lanes.thread_ids)
            if hanging and len(self.lanes.flights) == hanging and not self._ended:
                self._give_up()
            self._listen()
            self._sweep_after(ends)

    def _hanging(self) -> int:
        """How many lanes are past every deadline: their mails were lost to the rescuer, and nothing ends a thread."""
        longest = (self.conf.deadline + self.conf.lease).total_seconds()
        now = time.monotonic()
        return sum(now - flight.started_at > longest for flight in self.lanes.flights.values())

    def _give_up(self) -> None:
        """End this process: everything else has landed and is recorded; its pool or supervisor starts another."""
        events.broke.send_robust(sender=None, where="lane", error="a mail hangs; this process ends")
        os._exit(1)

    def _talks_since_before(self, ends: float) -> bool:
        return any(flight.started_at < ends for flight in self.lanes.flights.values())

    def _guarded_turn(self, *, refill: bool) -> int:
        """A turn; while the database is away, what the lanes finished is kept for the next."""
        try:
            return self.turn(refill=refill)
        except LOST_CONNECTION as error:
            connection.close()
            events.broke.send_robust(sender=None, where="turn", error=type(error).__name__)
            time.sleep(_DATABASE_PAUSE_S)
            return 0

    def turn(self, *, refill: bool = True) -> int:
        """Record what the lanes finished and begin what they take next, in one transaction; how many were begun."""
        self._renew_when_due()
        if not refill:
            self._give_back(self._waiting)
        waiting, sent_at = self._waiting, time.monotonic()
        try:
            recorded, begun = self._quick_turn(refill=refill) or self._whole_turn(refill=refill)
        except LOST_CONNECTION:  # nothing was written, or we were not told: the tokens say which
            self._waiting = waiting
            raise
        except Exception as error:  # noqa: BLE001  (one bad row: nothing was written; row by row, and none is begun)
            events.announce(events.broke, where="turn", error=type(error).__name__)
            recorded, begun = recording.record_one_by_one(self._ended, self.worker), []
            self._waiting, self._quick = waiting, False
            self._give_back(waiting)
        self._settle(recorded)
        try:
            self._launch(begun, sent_at)
        finally:  # while the lanes work: telling takes a tenth of a mail's time
            for closing in recorded.untold:
                transitions.announce_end(closing)
        return len(begun)

    def _quick_turn(self, *, refill: bool) -> tuple[Recorded, Sequence[Begun]] | None:
        """Nearly every turn; None when there is more to it, and then nothing was done."""
        if not self._quick or not self.lanes.limit or self._seeks_solo() or any(one.alone for one in self._waiting):
            return None
        free = self._free(Recorded(tokens=frozenset(one.begun.token for one in self._ended))) if refill else 0
        if not self._ended and not free:
            return Recorded(), []
        waiting = self._waiting if free else []
        wanted = Wanted(limit=free, lease=self.conf.lease, overdue=self.overdue, claims=waiting)
        turned = recording.record_quickly(self._ended, wanted, self.worker)
        if turned is None:
            return None
        begun = {one.intent_id for one in turned[1]}
        self._waiting = [claim for claim in self._waiting if claim.intent_id not in begun]
        # Else a whole turn finds out what became of them.
        self._quick = free == len(begun) or not self._waiting
        self._quick &= all(one.begun.token in turned[0].tokens for one in self._ended)
        return turned

    def _seeks_solo(self) -> bool:
        """Now and then, with nothing in flight, a whole turn looks for what goes alone; no quick one begins that."""
        return not self.lanes.flights and time.monotonic() - self._sought_solo_at > self.conf.tick.total_seconds()

    def _whole_turn(self, *, refill: bool) -> tuple[Recorded, Sequence[Begun]]:
        self._quick = not self.conf.rate
        with transaction.atomic():
            recorded = recording.record(self._ended, self.worker, talking=self.lanes.is_talking)
            begun = self._begin_next(recorded) if refill else []
        if refill and not self.lanes.flights:
            self._sought_solo_at = 0.0 if any(one.alone for one in begun) else time.monotonic()
        return recorded, begun

    def _settle(self, recorded: Recorded) -> None:
        refused = [one.started_at for one in self._ended if one.begun.token in recorded.limited]
        self._ended = [one for one in self._ended if one.begun.token not in recorded.tokens]
        self.lanes.release(recorded.tokens)
        if any(started_at > self._lowered_at for started_at in refused):  # those begun before it halve but once
            self._lowered_at = time.monotonic()
            events.announce(events.lanes_lowered, lanes=self.lanes.lower())
        elif self._lowered_at and time.monotonic() - self._lowered_at > _LOWERED_FOR_S:
            self.lanes.restore()
            self._lowered_at = time.monotonic() if self.lanes.is_lowered else 0.0

    def _begin_next(self, recorded: Recorded) -> list[Begun]:
        """Begin what waits and then what is due, as many as there are free lanes, breaker and window permitting."""
        free = self._free(recorded)
        if free <= 0 or recorded.limited:  # first fewer lanes, then more mails
            if not self.lanes.limit:  # for a while none at all: another process may have some
                self._give_back(self._waiting)
            return []
        if not self._picks_solo():
            self._waiting = self._waiting + self._claim(free - len(self._waiting))
        allowed = breaker.may_begin(free)
        if allowed <= 0:
            self._give_back(self._waiting)
            return []
        return self._begin(self._pick(allowed), solo=self._picks_solo())

    def _free(self, recorded: Recorded) -> int:
        """Free lanes, those of what this turn records included; none beside a mail that goes alone."""
        if any(flight.begun.alone for flight in self.lanes.flights.values()):
            return 0
        return self.lanes.room(recorded.tokens)

    def _claim(self, wanted: int) -> list[Claim]:
        """Hold what is due, the urgent that wait in the broker included; one that goes alone when it comes first."""
        wanted = breaker.allowance(wanted, rate=self.conf.rate)
        if wanted <= 0:
            return []
        mine = [claim.intent_id for claim in self._waiting]
        urgent = transitions.take_over(wanted, self.conf.lease, mine=mine, overdue=self.overdue)
        solo = not self.lanes.flights and not self._waiting and not urgent
        due = _together(transitions.claim(wanted - len(urgent), self.conf.lease, solo=solo, overdue=self.overdue))
        breaker.spend(len(due), rate=self.conf.rate)
        return urgent + due

    def _picks_solo(self) -> bool:
        return not self.lanes.flights and bool(self._waiting) and all(claim.alone for claim in self._waiting)

    def _pick(self, allowed: int) -> list[Claim]:
        """The next to begin: those that may go beside others first, then one that goes alone."""
        if self._picks_solo():
            return self._waiting[:1]
        return [claim for claim in self._waiting if not claim.alone][:allowed]

    def _begin(self, picked: Sequence[Claim], *, solo: bool) -> list[Begun]:
        begun = transitions.begin(picked, self.conf.lease, solo=solo)
        done = {one.token for one in begun}
        missed = [claim for claim in picked if claim.token not in done]
        rest = [claim for claim in self._waiting if claim not in picked]
        # Where one was lost in the broker, the rest was most likely too: one question for all, not a turn for each.
        self._waiting = self._still_held(rest + missed) if missed else rest
        return begun

    def _still_held(self, claims: Sequence[Claim]) -> list[Claim]:
        held = {claim.token: claim for claim in transitions.still_held(claims, State.CLAIMED)}
        for claim in claims:
            if claim.token not in held:
                events.announce(events.lease_lost, what="begin", intent_id=claim.intent_id)
        return [held[claim.token] for claim in claims if claim.token in held]

    def _launch(self, begun: Sequence[Begun], sent_at: float) -> None:
        """Bind late variables, then give each attempt to a lane; what cannot be bound has ended already."""
        for one, answer in binding.bind(begun):
            if isinstance(answer, Ready):
                self.lanes.start(self._flight(one, answer, sent_at))
            else:
                self._ended.append(Ended(begun=one, outcome=answer))

    def _flight(self, begun: Begun, ready: Ready, sent_at: float) -> Flight:
        return Flight(
            begun=begun,
            context=ready.context,
            language=ready.language,
            message=ready.message,
            fence_s=self.conf.fence.total_seconds(),
            renewed_at=sent_at,
            ask_commit=self.lanes.ask_commit,
        )

    def _listen(self) -> None:
        """Wait for the lanes, at most until the next turn is due, and answer those that wait for a commit."""
        is_due = bool(self._ended) or not self.lanes.flights  # no lane will have news
        wait = _SHORT_PAUSE_S if is_due else self.conf.turn.total_seconds()
        landed, asking = self.lanes.news(wait)
        self._ended += [
            Ended(begun=end.flight.begun, outcome=end.outcome, started_at=end.flight.started_at) for end in landed
        ]
        for flight in asking:
            flight.data_allowed = self._committed_data(flight)
            flight.answered.set()

    def _committed_data(self, flight: Flight) -> bool:
        try:
            return transitions.begin_data(flight.begun.claim)
        except LOST_CONNECTION:
            connection.close()
            return False

    def _renew_when_due(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at < self.conf.renew_every.total_seconds():
            return
        flights = list(self.lanes.flights.values())
        held = [flight.begun.claim for flight in flights] + self._waiting
        ours = transitions.renew(held, self.conf.lease, self.conf.deadline)
        for flight in flights:
            if flight.begun.token in ours:
                flight.renewed_at = now
        self._renewed_at = now

    def _sweep_after(self, ends: float) -> None:
        """While a slow mail holds this process past its slice, nobody else may be there to expire and rescue."""
        now = time.monotonic()
        if now < ends or now - self._swept_at < self.conf.tick.total_seconds():
            return
        self._swept_at = now
        try:
            rescuer.sweep()
        except LOST_CONNECTION:
            connection.close()

    def _give_back(self, claims: Sequence[Claim]) -> None:
        transitions.give_back(claims)
        self._waiting = [claim for claim in self._waiting if claim not in claims]


def _together(due: Sequence[Claim]) -> list[Claim]:
    """What may go side by side or, when the most urgent goes alone, that one; the others are given back.

    So neither waits for the other: a backlog would starve what goes alone, and that may hang for minutes.
    """
    kept = [*due[:1]] if due and due[0].alone else [claim for claim in due if not claim.alone]
    transitions.give_back([claim for claim in due if claim not in kept])
    return kept
