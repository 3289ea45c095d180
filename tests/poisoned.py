"""A sender's process in which one mail, that to poison@example.com, is poison when it is rendered.

    python -m tests.poisoned "kills its process"

It works slice after slice until nothing is due, as a pool's process does.
"""

import os
import signal
import sys
from collections.abc import Callable

import core.celery  # noqa: F401  (loads Django)
from outbox import lanes, rescuer, tasks
from outbox.messages import Mail


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    while True:
        pass


def _devour() -> None:
    """What an allocation under a limit does; without one the kernel kills the process, which is the first poison."""
    raise MemoryError("2 GB")


POISONS: dict[str, Callable[[], None]] = {
    "kills its process": _kill,
    "never ends": _hang,
    "wants more memory than there is": _devour,
}


def main(poison: str) -> None:
    """Work until nothing is due; a sweep before each slice, as the dispatcher does."""
    real = lanes._mail

    def poisoned(flight: lanes.Flight, to: str) -> Mail:
        if flight.begun.recipient == "poison@example.com":
            POISONS[poison]()
        return real(flight, to)

    lanes._mail = poisoned
    sender = tasks.build_sender(f"poisoned {os.getpid()}")
    rescuer.sweep()
    while sender.work():
        rescuer.sweep()


if __name__ == "__main__":
    main(sys.argv[1])
