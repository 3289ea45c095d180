"""Counts closed attempts and dead letters minute by minute, for charts and metrics."""

from datetime import timedelta

from django.db.models import Max
from django.db.models.functions import Now

from outbox import conf, sql, sql_figures
from outbox.models import Minute

_SETTLE = timedelta(seconds=10)
_STRETCH = timedelta(hours=1)  # what one statement counts at most, after a downtime


def catch_up() -> int:
    """Count every complete minute that is not counted yet; how many rows were written. Safe twice at once."""
    written = 0
    while (step := count_stretch()) is not None:
        written += step
    return written


def count_stretch() -> int | None:
    """Count the next minutes, an hour at most; how many rows were written, None when all are counted."""
    [(start, complete)] = sql.rows(sql_figures.NEXT_STRETCH, {"settle": _SETTLE})
    if start is None or start >= complete:
        return None
    stretch = {"start": start, "end": min(start + _STRETCH, complete)}
    return int(sql.rows(sql_figures.ROLL_UP, stretch)[0][0])


def prune() -> int:
    """Forget minutes past OUTBOX_RETENTION; how many. The newest one says how far we counted, and stays."""
    newest = Minute.objects.aggregate(newest=Max("minute"))["newest"]
    past = Minute.objects.filter(minute__lt=Now() - conf.outbox().retention).exclude(minute=newest)
    return past.delete()[0]
