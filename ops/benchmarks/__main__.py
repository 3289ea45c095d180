"""`python -m ops.benchmarks [QUESTION …]`: measures, prints medians and ratios, writes JSON and charts."""

import argparse
import importlib
import sys

from ops.dev import bootstrap

QUESTIONS = ("enqueue", "deliver", "latency", "claim", "remote", "scale", "bloat")
_ROUNDS = 5


def main() -> int:
    """Answer the questions one after the other; exit code 0 if everything that must hold does."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.benchmarks",
        description="Each question is measured on servers of its own (PostgreSQL with durable commits, Redis, an SMTP "
        "server that takes everything), the systems compared in turn. Only ratios of one run mean anything. "
        "Results go to ops/benchmarks/results.",
        epilog="ops.benchmarks.render compares rendering alone.",
    )
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)} (all)")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"runs of each system ({_ROUNDS})")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.questions if name not in QUESTIONS]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(QUESTIONS)}")
    bootstrap.use(".venv-benchmarks")
    bootstrap.enter("ops/benchmarks/requirements.txt")
    from ops.dev import interrupts  # noqa: PLC0415  (what follows exists only inside the environment)
    from ops.dev.child import adopt_orphans, end_orphans  # noqa: PLC0415

    interrupts.listen()
    adopt_orphans()
    try:
        answers = [_answer(name, chosen.rounds) for name in chosen.questions or QUESTIONS]
    except interrupts.InterruptedBySignal as cause:
        print(f"Interrupted ({cause}); everything was stopped.", file=sys.stderr)
        return cause.exit_code
    finally:
        end_orphans()
    return 0 if all(answers) else 1


def _answer(name: str, rounds: int) -> bool:
    return bool(importlib.import_module(f"ops.benchmarks.{name}").run(rounds).show())


if __name__ == "__main__":
    sys.exit(main())
