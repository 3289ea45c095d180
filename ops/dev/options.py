"""What may be said to `ops/demo` and `ops/test`. Standard library only: --help needs no set-up."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.dev.bootstrap import ROOT

CHECKS = ("format", "lint", "types", "migrations", "tests")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """`serve`: stay up afterwards. `mails`: the folder for the delivered mails."""

    serve: bool
    mails: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """`checks`: which to run, in order. `pytest`: arguments passed on."""

    checks: tuple[str, ...]
    pytest: tuple[str, ...]


def for_demo(arguments: Sequence[str]) -> DemoOptions:
    """Read the arguments of `ops/demo`; a wrong one ends the program with a sentence."""
    parser = argparse.ArgumentParser(
        prog="ops/demo",
        allow_abbrev=False,
        description="Start PostgreSQL, Redis, an SMTP inbox, the web server, a worker and beat on free ports "
        "of 127.0.0.1; register a person and reset a password over HTTP, with the mails really delivered; "
        "stop the SMTP server and Redis in between. Exit code 0 only if every step happened. "
        "Nothing is left running.",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="then stay up and print the addresses of API docs, admin, inbox and Flower, until Ctrl-C",
    )
    parser.add_argument(
        "--mails",
        metavar="FOLDER",
        type=Path,
        default=ROOT / "demo-mails",
        help="where the mails are left as HTML files (default: demo-mails in the project)",
    )
    chosen = parser.parse_args(arguments)
    return DemoOptions(serve=chosen.serve, mails=chosen.mails)


def for_test(arguments: Sequence[str]) -> CheckOptions:
    """Read the arguments of `ops/test`; what is not its own goes to pytest."""
    parser = argparse.ArgumentParser(
        prog="ops/test",
        usage="ops/test [-h] [--only CHECK[,CHECK…] | --only-tests] [any argument of pytest …]",
        allow_abbrev=False,
        description="Run every check on one running set of servers; the exit code is 0 if all are ok. "
        "Arguments that are not listed here go to pytest.",
        epilog="Examples: ops/test; ops/test --only-tests -x -k lease; ops/test --only lint,types.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", metavar="CHECK", type=_checks, help=f"only these: {', '.join(CHECKS)}")
    what.add_argument("--only-tests", action="store_true", help="the same as --only tests")
    chosen, others = parser.parse_known_args(arguments)
    checks = ("tests",) if chosen.only_tests else chosen.only or CHECKS
    return CheckOptions(checks=checks, pytest=tuple(others))


def _checks(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if unknown := [name for name in names if name not in CHECKS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(CHECKS)}")
    return tuple(name for name in CHECKS if name in names)
