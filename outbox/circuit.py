"""Decides when dispatch stops for a provider, and how it starts again. Pure: the breaker's rules without its row."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from outbox.outcomes import Deferred, Delivered, Outcome, Phase, Refused, Unavailable, Unknown

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=60)
EXCUSED_WAIT = timedelta(seconds=60)  # a mail blamed on the provider lets others try first
LOSSES = 10  # in a row, over different intents: a suspended account says 550 to everything
CONNECTING = frozenset({Phase.CONNECT, Phase.AUTH})  # trouble here may be a limit on connections
FULL_SPEED = 64  # a window past this no longer holds anybody back


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What the rules look at.

    `delivering` says that somebody recorded a Delivered in the last 10 s, `talking` that the provider
    has let in other mails of this process, which will tell.
    """

    is_open: bool = False
    delivering: bool = False
    talking: bool = False
    reason: str = ""
    wait: timedelta = FIRST_WAIT
    window: int | None = None
    window_delivered: int = 0
    losers: tuple[int, ...] = ()

    def opened(self, reason: str) -> "Circuit":
        """Stop; the wait that follows an opening doubles up to its longest."""
        return replace(self, is_open=True, reason=reason, window=None, window_delivered=0, losers=())

    def half_opened(self) -> "Circuit":
        """A probe got through: begin with one row held at most."""
        return replace(self, is_open=False, reason="", window=1, window_delivered=0, losers=())

    def next_wait(self) -> timedelta:
        """What the opening after this one waits."""
        return min(self.wait * 2, LONGEST_WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one attempt ended; `excused` says that the intent was blamed on the provider once already."""

    intent_id: int
    token: UUID
    outcome: Outcome
    excused: bool = False


def record(circuit: Circuit, results: Iterable[Result]) -> tuple[Circuit, list[Result]]:
    """The circuit after these results, and the results as they count: a loss while starting slowly is excused."""
    counted = []
    for result in sorted(results, key=lambda result: not isinstance(result.outcome, Delivered)):
        circuit, outcome = _record_one(circuit, result)
        counted.append(replace(result, outcome=outcome))
    return circuit, counted


def _record_one(circuit: Circuit, result: Result) -> tuple[Circuit, Outcome]:
    outcome = result.outcome
    match outcome:
        case Delivered():
            return _delivered(circuit), outcome
        case Unavailable():
            return _unavailable(circuit, outcome), _behind_others(outcome)
        case Deferred() | Refused() | Unknown():
            return _lost(circuit, result)
        case _:
            return circuit, outcome


def _delivered(circuit: Circuit) -> Circuit:
    """One that was still in flight when somebody opened proves as much as a probe."""
    if circuit.is_open:
        circuit = circuit.half_opened()
    circuit = replace(circuit, delivering=True, wait=FIRST_WAIT, losers=())
    if circuit.window is None:
        return circuit
    done = circuit.window_delivered + 1
    if done < circuit.window:
        return replace(circuit, window_delivered=done)
    wider = circuit.window * 2
    return replace(circuit, window=None if wider > FULL_SPEED else wider, window_delivered=0)


def _unavailable(circuit: Circuit, outcome: Unavailable) -> Circuit:
    """While others deliver, trouble connecting is a limit on connections: see Lanes. Starting slowly meets it too."""
    limited = outcome.phase in CONNECTING and (circuit.delivering or circuit.talking)
    if circuit.is_open or limited or (circuit.delivering and circuit.window is None):
        return circuit
    return circuit.opened(outcome.reply.text)


def _behind_others(outcome: Unavailable) -> Unavailable:
    """Connected, and yet turned away: perhaps because of this mail, which must not be the next one again."""
    return outcome if outcome.phase in CONNECTING else replace(outcome, wait=EXCUSED_WAIT)


def _lost(circuit: Circuit, result: Result) -> tuple[Circuit, Outcome]:
    """Ten in a row open. While open or starting slowly the provider is blamed, once per intent.

    Ten here too, and not the first: thirty bad addresses with nothing else due must come to their end in minutes,
    and an excuse costs nothing, so a suspended account still kills no more than the ten that opened.
    """
    outcome = result.outcome
    counted = outcome if result.excused or not _blames_provider(circuit, outcome) else _excused(outcome)
    if circuit.is_open:
        return circuit, counted
    losers = circuit.losers if result.intent_id in circuit.losers else (*circuit.losers, result.intent_id)
    if len(losers) >= LOSSES:
        return circuit.opened(f"{LOSSES} mails in a row were not accepted: {outcome.reply.text}"), counted
    return replace(circuit, losers=losers), counted


def _blames_provider(circuit: Circuit, outcome: Outcome) -> bool:
    return (circuit.is_open or circuit.window is not None) and isinstance(outcome, Deferred | Refused)


def _excused(outcome: Outcome) -> Unavailable:
    return Unavailable(phase=outcome.phase, reply=outcome.reply, wait=EXCUSED_WAIT)
