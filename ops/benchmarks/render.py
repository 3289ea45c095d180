"""What does rendering one mail cost, against Django's own engine with templates of the same size?

`python -m ops.benchmarks.render`: exit code 0 if ours takes at most a quarter. `django_mail` holds the reset mail as
one would write it for Django: the same layout, texts and links. Both engines render it in turns, and processor time is
measured, so that whatever else the machine does meets both alike.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django
from django.conf import settings
from django.template import Context, Engine
from django.utils import translation
from rich.console import Console
from rich.progress import track
from rich.table import Table

_MOST = 0.25  # of what Django's engine takes
_MAILS = 40  # in one measurement: long against the clock's grain, short against whatever else the machine does
_SAME_SIZE = 0.05
_LANGUAGES = ("en", "ar")

Mail = Callable[[], tuple[str, ...]]  # renders subject, text and page


def main() -> int:
    """Measure, show a table, and say whether the promise holds."""
    parser = argparse.ArgumentParser(description="Compare rendering one mail with Django's own engine.")
    parser.add_argument("--rounds", type=int, default=100, help="measurements per engine and language (100)")
    rounds = parser.parse_args().rounds
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    ratios = [_compare(language, rounds) for language in _LANGUAGES]
    print(f"At most {_MOST:.0%} of Django's engine: {'yes' if max(ratios) <= _MOST else 'no'}.")
    return 0 if max(ratios) <= _MOST else 1


def _compare(language: str, rounds: int) -> float:
    mails = {"Django": _djangos(language), "ours": _ours(language)}
    sizes = {name: sum(map(len, render())) for name, render in mails.items()}
    if language == "en" and abs(sizes["ours"] / sizes["Django"] - 1) > _SAME_SIZE:
        sys.exit(
            f"The two mails are not of the same size any more, {sizes}: bring ops/benchmarks/django_mail up to date."
        )
    taken = _measured(mails, rounds, f"rendering in {language}")
    medians = {name: statistics.median(values) for name, values in taken.items()}
    _show(language, taken, sizes)
    return medians["ours"] / medians["Django"]


def _measured(mails: dict[str, Mail], rounds: int, title: str) -> dict[str, list[float]]:
    """Microseconds per mail, of each round."""
    taken: dict[str, list[float]] = {name: [] for name in mails}
    for number in track(range(rounds), title, console=Console(stderr=True), transient=True):
        for name in sorted(mails, reverse=bool(number % 2)):  # neither is always the first
            started = time.process_time()
            for _ in range(_MAILS):
                mails[name]()
            taken[name].append((time.process_time() - started) / _MAILS * 1e6)
    return taken


def _show(language: str, taken: dict[str, list[float]], sizes: dict[str, int]) -> None:
    table = Table("engine", "median µs", "10 % to 90 %", "letters", title=f"One reset mail in {language}")
    for name, values in taken.items():
        tenths = statistics.quantiles(values, n=10)
        spread = f"{tenths[0]:.0f} to {tenths[-1]:.0f}"
        table.add_row(name, f"{statistics.median(values):.0f}", spread, str(sizes[name]))
    ratio = statistics.median(taken["ours"]) / statistics.median(taken["Django"])
    table.caption = f"ours takes {ratio:.0%} of Django's"
    Console().print(table)


def _ours(language: str) -> Mail:
    from auth_api import mails  # noqa: PLC0415  (apps load only after django.setup)
    from outbox import rendering  # noqa: PLC0415

    kind = mails.RESET_CODE

    def render() -> tuple[str, ...]:
        mail = rendering.render(kind.name, language, kind.sample)
        return mail.subject, mail.text, mail.html

    return render


def _djangos(language: str) -> Mail:
    from auth_api import mails  # noqa: PLC0415
    from outbox.brand import brand  # noqa: PLC0415

    engine = Engine(
        dirs=[str(Path(__file__).parent / "django_mail")],
        debug=False,  # and so with compiled templates kept
        builtins=["django.templatetags.i18n"],
    )
    direction = "rtl" if language in settings.LANGUAGES_BIDI else "ltr"
    always = {"brand": brand(), "language": language, "dir": direction}

    def render() -> tuple[str, ...]:
        with translation.override(language):
            context = {**always, **mails.RESET_CODE.sample}
            parts = ("subject.txt", "body.txt", "body.html")
            return tuple(engine.get_template(part).render(Context(context)) for part in parts)

    return render


if __name__ == "__main__":
    sys.exit(main())
