"""Makes the virtual environment `.venv` from the pinned requirements, and goes on inside it.

Standard library only: nothing else exists before it ran.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"


def use(name: str) -> None:
    """Make `enter` mean another environment than `.venv`: a folder of that name in the project."""
    global VENV, PYTHON, STAMP  # noqa: PLW0603  (one environment per process)
    VENV = ROOT / name
    PYTHON, STAMP = VENV / "bin" / "python", VENV / "installed.json"


def enter(*requirements: str) -> None:
    """Return inside the environment with the requirement files installed.

    A process outside of it installs what is missing and starts the same command over with the environment's
    Python. Whatever prevents that ends the process with one line and exit code 1.
    """
    try:
        with _ending_on_signals():
            _ensure(_wanted(requirements), requirements)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        sys.exit(f"Cannot set up {VENV}: {error}")
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.orig_argv[1:]])  # noqa: S606 the same command, one process


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP exceptions meanwhile: only then does pip, which we wait for, end with us."""

    def end(signum: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + signum)

    heeded = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN]  # nohup ignores
    before = [(signum, signal.signal(signum, end)) for signum in heeded]
    try:
        yield
    finally:
        for signum, handler in before:
            signal.signal(signum, handler)


def _wanted(requirements: Sequence[str]) -> dict[str, Any]:
    """What the stamp of a finished installation says: the Python, and the hash of every requirement file."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()} {sys.base_prefix}",
        "files": {
            str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
            for name in requirements
            for path in _with_included(ROOT / name)
        },
    }


def _with_included(path: Path) -> Iterator[Path]:
    yield path
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from _with_included((path.parent / line.removeprefix("-r ").strip()).resolve())


def _ensure(wanted: dict[str, Any], requirements: Sequence[str]) -> None:
    if _is_installed(wanted):
        return
    with _alone() as lock:
        if not _is_installed(wanted):  # else another run did it while we waited
            _install(wanted, requirements, lock)


def _is_installed(wanted: dict[str, Any]) -> bool:
    """True if the stamp covers what is wanted; more may be there (the tests' packages beside the demo's)."""
    found = _stamp()
    is_covered = bool(wanted["files"].items() <= found.get("files", {}).items())
    return is_covered and found.get("python") == wanted["python"]


def _stamp() -> dict[str, Any]:
    """What was installed completely; empty when nothing was, or the environment lost its Python since."""
    try:
        found: dict[str, Any] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if os.access(PYTHON, os.X_OK) else {}


@contextmanager
def _alone() -> Iterator[int]:
    """Hold the lock of this checkout. It is on the folder itself, so that no lock file is left in it."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Another command is setting up {VENV.name}; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _install(wanted: dict[str, Any], requirements: Sequence[str], lock: int) -> None:
    started = time.monotonic()
    _say(f"Setting up {VENV.name}; the first time this takes a minute or two …")
    reusable = _stamp().get("python") == wanted["python"]
    STAMP.unlink(missing_ok=True)  # an installation that is interrupted from here on leaves no stamp
    if not reusable:
        _make_venv(lock)
    _pip_install(requirements, lock)
    _write_stamp(wanted)
    _say(f"Set up {VENV.name} in {time.monotonic() - started:.0f} s.")


def _make_venv(lock: int) -> None:
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        sys.exit(
            f"{sys.executable} has no complete venv module; install it first (on Debian and Ubuntu: "
            f"apt install python{sys.version_info.major}.{sys.version_info.minor}-venv)."
        )
    # From inside the environment, its own Python would be erased while it builds: ask the one it came from.
    base = getattr(sys, "_base_executable", None) or sys.executable
    _run([base, "-I", "-m", "venv", "--clear", str(VENV)], f"venv could not make {VENV.name}", lock)


def _pip_install(requirements: Sequence[str], lock: int) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
    files = [argument for name in requirements for argument in ("-r", str(ROOT / name))]
    command = [str(PYTHON), "-I", "-m", "pip", "install", *options, *files]
    _run(command, "pip could not install the packages", lock)


def _run(command: Sequence[str], failure: str, lock: int) -> None:
    """Run to the end. The command inherits the lock: if we are killed, the next run waits for its end."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=[lock], check=False
    )
    if done.returncode != 0:
        sys.exit(f"{failure}: {_reason(done.stdout + done.stderr) or f'exit code {done.returncode}'}")


def _reason(output: str) -> str:
    """The line that says why: pip's last ERROR, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1]


def _write_stamp(wanted: dict[str, Any]) -> None:
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    partial.replace(STAMP)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
