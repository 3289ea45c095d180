"""What all services of the stack share: started and awaited, stopped, killed, paused, started again."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from ops.dev.child import Child
from ops.dev.place import free_port

_PORTS_TRIED = 5
_TAKEN = ("already in use", "connection in use")


class NotStartedError(Exception):
    """A service did not come up; the text ends with the last lines of its log."""


class _PortTakenError(Exception):
    """Somebody else got the port between our look and the server's bind."""


class Service(ABC):
    """Something that runs as one child; `patience` is how many seconds it has to come up."""

    name: str
    patience: float = 30

    def __init__(self) -> None:
        self.child: Child | None = None

    @abstractmethod
    def _make_child(self) -> Child:
        """The child to start."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it does its work, and is ours; raises nothing."""

    def start(self) -> None:
        """Return when it is ready.

        Raises:
            NotStartedError: it ended, or was not ready in time.
        """
        self.begin()
        self.finish()

    def begin(self) -> None:
        """Start it without waiting, so that others can start meanwhile."""
        self.stop()
        self.child = self._make_child()
        self.child.start()

    def finish(self) -> None:
        """Return when what `begin` started is ready.

        Raises:
            NotStartedError: it ended, or was not ready in time.
        """
        child = self.child
        if child is None:
            raise NotStartedError(f"{self.name} was not begun")
        if wait_until(lambda: not child.is_running or self._is_ready(), self.patience) and child.is_running:
            return
        if not child.is_running and any(words in child.output().lower() for words in _TAKEN):
            raise _PortTakenError(f"{self.name}: the port is taken")
        raise NotStartedError(f"{self.name} did not start:\n{last_lines(child.output())}")

    def stop(self) -> None:
        """End it gently; without effect when it is not there."""
        if self.child:
            self.child.stop()
        self.child = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self.child:
            self.child.kill()
        self.child = None

    def pause(self) -> None:
        """Let it hang: connections open, nothing is answered."""
        if self.child:
            self.child.pause()

    def resume(self) -> None:
        """End a pause."""
        if self.child:
            self.child.resume()


class Server(Service):
    """A service on a port of 127.0.0.1. The first start picks it; every later one uses the same."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._has_port = False

    def begin(self) -> None:
        """Start it without waiting, on its port."""
        self.port = self.port or free_port()
        super().begin()

    def finish(self) -> None:
        """Return when it answers; a first start that finds the port taken goes on with another one.

        Raises:
            NotStartedError: it ended, or did not answer in time.
        """
        for _ in range(_PORTS_TRIED):
            try:
                super().finish()
            except _PortTakenError as error:
                if self._has_port:
                    raise NotStartedError(str(error)) from error
                self.port = 0
                self.begin()
            else:
                self._has_port = True
                return
        raise NotStartedError(f"{self.name}: {_PORTS_TRIED} ports were taken one after the other")


def wait_until(condition: Callable[[], object], seconds: float, every: float = 0.03) -> bool:
    """Ask again and again until the condition holds; False when the time is over."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(every)
    return True


def last_lines(text: str, count: int = 25) -> str:
    """The end of a log, indented."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-count:]) or "    (it wrote nothing)"
