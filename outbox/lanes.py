"""The connections that talk to the provider side by side; renders and sends, no database."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from outbox import messages, rendering, sandbox
from outbox.classify import clean
from outbox.messages import Mail
from outbox.outcomes import Broken, Outcome, Phase, Reply, Unavailable, Void
from outbox.transitions import Begun
from outbox.transport import Transport

# A provider may count connections: idle ones must not be what turns away the breaker's probe, 5 s after it opened.
_IDLE_S = 4.0
# After one of several lanes has landed, the others are about to, and a turn costs the same for all: so long at most,
# looked at so often. A tenth less processor time a mail than a wait that never ends early, a quarter less than none.
_GATHER_S, _LOOK_S = 0.002, 0.0003
_PERMIT_TIMEOUT_S = 5.0  # how long a lane waits for the commit before DATA of a mail that must not be repeated


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """One mail in the hands of a lane; the main thread notes each renewal here, the lane reads it before DATA."""

    begun: Begun
    context: Mapping[str, Any]
    language: str
    message: bytes | None
    fence_s: float
    renewed_at: float  # monotonic: when the last renewal that succeeded was sent
    ask_commit: Callable[["Flight"], None]
    started_at: float = field(default_factory=time.monotonic)
    transport: Transport | None = None  # of the lane that has it
    data_allowed: bool = False
    answered: threading.Event = field(default_factory=threading.Event)

    def permit(self) -> bool:
        """Whether DATA may be sent: the lease is surely ours and, where a repeat is forbidden, that was committed."""
        if not self.begun.repeatable and not self.data_allowed:
            self.ask_commit(self)
            if not self.answered.wait(_PERMIT_TIMEOUT_S) or not self.data_allowed:
                return False
        return time.monotonic() - self.renewed_at < self.fence_s


_Lane = SimpleQueue[Flight | None]


@dataclass(frozen=True, slots=True)
class Landed:
    """How a flight ended, and the lane that is to be released when that is recorded."""

    flight: Flight
    outcome: Outcome
    lane: _Lane


class Lanes:
    """Threads with one kept connection each. Only the main thread calls these methods."""

    def __init__(self, build_transport: Callable[[], Transport], count: int) -> None:
        """Threads are started when they are first needed; `count` is how many there may be."""
        self.limit = count
        self._count = count
        self._build = build_transport
        self._news: SimpleQueue[Landed | Flight] = SimpleQueue()
        self._idle: list[_Lane] = []
        self._all: list[_Lane] = []
        self._threads: list[threading.Thread] = []
        self.flights: dict[UUID, Flight] = {}  # by token: a late one may share its intent with a newer
        self._unrecorded: dict[UUID, tuple[_Lane, bool]] = {}  # landed: the lane, and whether it is connected

    def room(self, tokens: Iterable[UUID] = ()) -> int:
        """How many more mails may be started, now or when these are recorded."""
        return max(0, self.limit - len(self.flights) - len(self._unrecorded.keys() - set(tokens)))

    def release(self, tokens: Iterable[UUID]) -> None:
        """These are recorded: only now may their lanes take another mail, the connected ones first."""
        for token in tokens:
            if token in self._unrecorded:
                lane, warm = self._unrecorded.pop(token)
                self._idle.insert(len(self._idle) if warm else 0, lane)

    def start(self, flight: Flight) -> None:
        """Give the mail to a lane; the warmest connection goes first."""
        lane = self._idle.pop() if self._idle else self._new_lane()
        self.flights[flight.begun.token] = flight
        lane.put(flight)

    def ask_commit(self, flight: Flight) -> None:
        """Called by a lane: this flight waits for its commit before DATA."""
        self._news.put(flight)

    def news(self, timeout: float) -> tuple[list[Landed], list[Flight]]:
        """Wait for news at most so long: what landed, and who waits for a commit before DATA."""
        landed: list[Landed] = []
        asking: list[Flight] = []
        try:
            item = self._news.get(timeout=timeout) if timeout > 0 else self._news.get_nowait()
            self._gather(len(self.flights) - 1 if isinstance(item, Landed) else 0)
            while True:
                (landed if isinstance(item, Landed) else asking).append(item)  # type: ignore[arg-type]
                item = self._news.get_nowait()
        except Empty:
            pass
        for end in landed:
            self.flights.pop(end.flight.begun.token, None)
            self._unrecorded[end.flight.begun.token] = (end.lane, not isinstance(end.outcome, Unavailable))
        return landed, asking

    def _gather(self, others: int) -> None:
        ends = time.monotonic() + _GATHER_S
        while self._news.qsize() < others and time.monotonic() < ends:
            time.sleep(_LOOK_S)

    @property
    def thread_ids(self) -> list[int]:
        """The native ids of the lanes' threads."""
        return [thread.native_id for thread in self._threads if thread.native_id and thread.is_alive()]

    @property
    def is_talking(self) -> bool:
        """Whether the provider has let a mail in that is in flight: then it is not away."""
        return any(flight.transport and flight.transport.is_connected for flight in self.flights.values())

    @property
    def is_lowered(self) -> bool:
        """Fewer lanes are in use than there may be."""
        return self.limit < self._count

    def lower(self) -> int:
        """Use half the lanes: the provider limits connections. How many are left."""
        self.limit //= 2
        return self.limit

    def restore(self) -> None:
        """Use twice as many lanes, up to all."""
        self.limit = min(self._count, max(1, self.limit * 2))

    def close(self) -> None:
        """End every lane that is idle, and each of the others when its mail is done."""
        for lane in self._all:
            lane.put(None)
        self._all, self._idle = [], []

    def _new_lane(self) -> _Lane:
        lane: _Lane = SimpleQueue()
        self._all.append(lane)
        name = f"lane-{len(self._all)}"
        thread = threading.Thread(target=self._fly, args=(lane,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return lane

    def _fly(self, lane: _Lane) -> None:
        transport = self._build()
        while (flight := _next(lane, transport)) is not None:
            flight.transport = transport
            outcome = _deliver(flight, transport)
            self._news.put(Landed(flight, outcome, lane))
        transport.close()


def _next(lane: _Lane, transport: Transport) -> Flight | None:
    """The next mail; meanwhile a connection that nobody uses is not kept for long."""
    try:
        return lane.get(timeout=_IDLE_S)
    except Empty:
        transport.close()
        return lane.get()


def _deliver(flight: Flight, transport: Transport) -> Outcome:
    """Render, build and send; what cannot be rendered or built, or shows a bug, is this mail's own end."""
    try:
        to = sandbox.current().route(flight.begun.recipient)
        if to is None:
            return Void(phase=Phase.CONNECT, reply=Reply(text=sandbox.REFUSAL))
        outcome = transport.deliver(_mail(flight, to), flight.permit)
        return outcome if to == flight.begun.recipient else _redirected(outcome, to)
    except Exception as error:  # noqa: BLE001  (one bad mail must not end its lane)
        return Broken(phase=Phase.CONNECT, reply=Reply(text=clean(f"{type(error).__name__}: {error}")))


def _redirected(outcome: Outcome, to: str) -> Outcome:
    """The outcome as the history of the mail shows it: it went to somebody else."""
    return replace(outcome, reply=replace(outcome.reply, text=clean(f"to {to} (sandbox): {outcome.reply.text}")))


def _mail(flight: Flight, to: str) -> Mail:
    """The message to the address that really gets it."""
    begun = flight.begun
    envelope = {"recipient": to, "message_id": begun.message_id}
    if to != begun.recipient:
        envelope["meant_for"] = begun.recipient
    if flight.message is not None:
        return messages.finished(flight.message, **envelope)
    rendered = rendering.render(begun.kind, flight.language, flight.context)
    return messages.build(rendered, **envelope)
