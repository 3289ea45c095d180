"""A process that does the sender's or the dispatcher's work and is killed at one chosen boundary.

    python -m tests.crashing "after the answer"

It works one slice on the database and provider that the environment names, and sends itself SIGKILL, which nothing
can catch, where the step says. A step that is never reached ends it with code 0.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import core.celery  # noqa: F401  (loads Django)
from outbox import breaker, dispatcher, rescuer, smtp, tasks, transitions, transport, turn
from outbox.lanes import Lanes
from outbox.sender import Sender


@dataclass(frozen=True, slots=True)
class Step:
    """Before or after a call of this function; `copies` is how often its mail may be accepted once more."""

    owner: Any
    name: str
    after: bool = False
    copies: int = 0
    calls: int = 1  # the how manieth call
    counts: Callable[..., bool] = lambda *_, **__: True  # whether a call with these arguments is one
    whole: bool = False  # turns are taken step by step, never in one statement


SENDER: dict[str, Step] = {
    "before the claim": Step(transitions, "claim"),
    "after the claim, before its commit": Step(transitions, "claim", after=True),
    "after the begin, before its commit": Step(transitions, "begin", after=True),
    "after the begin's commit": Step(Sender, "_launch"),
    "with a lane at work": Step(Lanes, "start", after=True),
    "before connecting": Step(transport, "connect"),
    "after connecting": Step(transport, "connect", after=True),
    "before MAIL": Step(transport, "_envelope"),
    "after RCPT": Step(transport, "_envelope", after=True),
    "after the message, before the answer": Step(smtp.Client, "send", after=True, copies=1, calls=5),
    "after the answer": Step(transport, "reply", copies=1),
    "before the turn that records": Step(turn, "turn", copies=1),
    "after the turn that recorded": Step(turn, "turn", after=True),
    "before recording": Step(breaker, "see", copies=1, whole=True),
    "after recording, before its commit": Step(transitions, "close", after=True, copies=1, whole=True),
    "after recording's commit": Step(Sender, "_settle", counts=lambda _, recorded: bool(recorded.tokens)),
}
DISPATCHER: dict[str, Step] = {
    "before the sweep": Step(rescuer, "sweep"),
    "before claiming": Step(dispatcher, "claim_ready"),
    "after claiming, before the commit": Step(transitions, "claim", after=True),
    "after claiming's commit": Step(dispatcher, "claim_ready", after=True),
    "after the first hand-over": Step(tasks, "_hand_over", after=True),
}


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(step: Step) -> None:
    real: Callable[..., Any] = getattr(step.owner, step.name)
    calls = 0

    @wraps(real)
    def armed(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += step.counts(*args, **options)
        is_the_one = calls == step.calls
        if is_the_one and not step.after:
            _die()
        result = real(*args, **options)
        if is_the_one:
            _die()
        return result

    setattr(step.owner, step.name, armed)


def main(words: Sequence[str]) -> None:
    """Arm the step, then do the work."""
    name = words[0]
    step = {**SENDER, **DISPATCHER}[name]
    if step.whole:
        turn.turn = lambda *_, **__: None
    _arm(step)
    if name in DISPATCHER:
        tasks.dispatch()
    else:
        tasks.build_sender(f"crashing {os.getpid()}").work()


if __name__ == "__main__":
    main(sys.argv[1:])
