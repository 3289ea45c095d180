"""`ops/test`: every check, one after the other, on one running set of servers."""

import secrets
import signal
import sys
import time
from collections.abc import Mapping

from ops.dev import interrupts
from ops.dev.child import Child, Order, adopt_orphans, end_orphans
from ops.dev.options import CheckOptions
from ops.dev.place import clean_environment
from ops.dev.services import NotStartedError
from ops.dev.stack import Stack, running_stack

_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "format": ("-m", "ruff", "format", "--check", "."),
    "lint": ("-m", "ruff", "check", "."),
    "types": ("-m", "mypy", "core", "outbox", "auth_api", "tests", "ops"),
    "migrations": ("manage.py", "makemigrations", "--check", "--dry-run"),
    # What waits for real processes and timers on one side, what computes on the other: see tests/conftest.py.
    "tests": ("-m", "pytest", "-n", "2", "--dist", "loadgroup"),
}


def main(options: CheckOptions) -> int:
    """Run the checks and return the exit code: 0 only if all are ok."""
    interrupts.listen()
    adopt_orphans()  # a test that is cut short may leave processes behind; nobody else would end them
    started = time.monotonic()
    try:
        failed = _run_all(options)
    except interrupts.InterruptedBySignal as cause:
        _say(f"ops/test was interrupted ({cause}); everything was stopped.")
        return cause.exit_code
    except (NotStartedError, OSError) as error:
        print(f"ops/test failed: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        end_orphans()
    verdict = f"failed: {', '.join(failed)}" if failed else "all ok"
    _say(f"ops/test: {verdict} ({', '.join(options.checks)}; {time.monotonic() - started:.0f} s)")
    return 1 if failed else 0


def _run_all(options: CheckOptions) -> list[str]:
    """Which of the checks failed; each is run even when one before it did."""
    with running_stack() as stack:
        env = _environment(stack)
        return [name for name in options.checks if not _is_ok(name, options, env)]


def _is_ok(name: str, options: CheckOptions, env: Mapping[str, str]) -> bool:
    words = [*_COMMANDS[name], *(options.pytest if name == "tests" else ())]
    _say(f"── {name}: {' '.join(word for word in words if word != '-m')}")
    started = time.monotonic()
    # Interrupted, pytest ends as at a Ctrl-C: fixtures get the time to stop what they started.
    child = Child(Order(argv=[sys.executable, *words], env=env, stop_signal=signal.SIGINT, patience=20))
    try:
        child.start()
        code = child.wait()
    finally:
        child.stop()
    _say(f"── {name}: {'ok' if code == 0 else 'failed'} after {time.monotonic() - started:.1f} s\n")
    return code == 0


def _environment(stack: Stack) -> dict[str, str]:
    return clean_environment(
        PYTHONHASHSEED="0",  # both of pytest's processes must name the same tests, also where a name shows a set
        SECRET_KEY=secrets.token_urlsafe(50),
        ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
        SECURE_SSL_REDIRECT="0",
        DATABASE_URL=stack.postgres.url,
        REDIS_URL=stack.redis.url,
    )


def _say(line: str) -> None:
    print(line, flush=True)
