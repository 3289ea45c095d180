"""A made-up day of mail for the pictures: `python -m ops.dev.sample` on an empty database."""

import math
import os
import random
from datetime import UTC, datetime, timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
django.setup()

from django.db import transaction  # noqa: E402  (models exist only after setup)
from django.db.models import F  # noqa: E402
from django.db.models.functions import Now  # noqa: E402

from auth_api import mails  # noqa: E402
from outbox import breaker, intents, transitions  # noqa: E402
from outbox.histogram import SIZE  # noqa: E402
from outbox.models import Attempt, Intent, Minute, Provider  # noqa: E402
from outbox.outcomes import Deferred, Delivered, Phase, Refused, Reply, Unknown  # noqa: E402
from outbox.policy import Bury, Decision, Finish, RetryAfter  # noqa: E402
from outbox.transitions import Begun, Closing  # noqa: E402

_LEASE = timedelta(seconds=30)
_NAMES = ("Layla", "Omar", "Noor", "Yusuf", "Mariam", "Karim", "Huda", "Sami", "Dana", "Rami")
_ACCEPTED = Delivered(phase=Phase.ANSWERED, reply=Reply(text="2.0.0 Ok: queued as 4WxYzT", code=250, enhanced="2.0.0"))
_FULL = Deferred(phase=Phase.ENVELOPE, reply=Reply(text="4.2.2 mailbox full", code=452, enhanced="4.2.2"))
_NOBODY = Refused(phase=Phase.ENVELOPE, reply=Reply(text="5.1.1 no such user here", code=550, enhanced="5.1.1"))
_SILENT = Unknown(phase=Phase.DATA, reply=Reply(text="the connection was lost before the answer"))
_OUTAGE = range(180, 200)  # minutes ago
_chance = random.Random(8)  # noqa: S311  (the same day each time)


def main() -> None:
    """Write it."""
    _minutes()
    for number in range(60):
        _enqueue(number)
    for begun in _begin(48):
        _end(begun, _ACCEPTED, Finish())
    for begun in _begin(4):
        _end(begun, _FULL, RetryAfter(timedelta(minutes=9), _FULL.reply.text))
    for begun in _begin(2):
        _end(begun, _SILENT, Bury(f"outcome unknown: {_SILENT.reply.text}", maybe_sent=True))
    for outcome in (_FULL, _FULL, _NOBODY):  # the last one is what the picture of a mail shows
        for begun in _begin(1 if outcome is _NOBODY else 3):
            _end(begun, outcome, RetryAfter(timedelta(), outcome.reply.text))
    for begun in _begin(2):
        _end(begun, _NOBODY, Bury(_NOBODY.reply.text))
    transitions.claim(1, _LEASE)
    breaker.gate()
    Provider.objects.update(ticked_at=Now() + timedelta(minutes=30))
    _spread()


def _enqueue(number: int) -> None:
    name = _NAMES[number % len(_NAMES)]
    kind = mails.PASSWORD_CHANGED if number % 7 == 0 else mails.WELCOME
    context = {"name": name}
    if kind is mails.PASSWORD_CHANGED:
        context |= {"changed_at": "24 November 2026, 13:05 (Asia/Dubai)", "client": "192.0.2.7"}
    with transaction.atomic():
        intents.enqueue(kind, to=f"{name.lower()}{number}@example.com", context=context, language="en")


def _begin(count: int) -> list[Begun]:
    return transitions.begin(transitions.claim(count, _LEASE), _LEASE, solo=True)


def _end(begun: Begun, outcome: Delivered | Deferred | Refused | Unknown, decision: Decision) -> None:
    closing = Closing(
        claim=begun.claim,
        number=begun.number,
        outcome=outcome,
        decision=decision,
        task_id=begun.task_id,
        kind=begun.kind,
    )
    transitions.close([closing], "mail-1:4711")


def _spread() -> None:
    """Move what just happened into the last minutes, so that it looks like a morning."""
    for intent in Intent.objects.order_by("pk"):
        ago = timedelta(seconds=(62 - intent.pk) * 11 + intent.attempts * 61)
        Intent.objects.filter(pk=intent.pk).update(
            created_at=F("created_at") - ago, scheduled_at=F("scheduled_at") - ago
        )
    for attempt in Attempt.objects.select_related("intent"):
        began = attempt.intent.created_at + timedelta(seconds=attempt.number * 61 - 60.7)
        took = timedelta(seconds=0.2 + _chance.random())
        Attempt.objects.filter(pk=attempt.pk).update(started_at=began, ended_at=began + took)


def _minutes() -> None:
    newest = datetime.now(UTC).replace(second=0, microsecond=0)
    rows = []
    for ago in range(1, 24 * 60):
        wave = 60 + 50 * math.sin((newest.timestamp() / 60 - ago) / 220) + _chance.random() * 25
        lost = 10 if ago in _OUTAGE else 1
        rows += _rows(newest - timedelta(minutes=ago), int(wave / lost), slow=lost > 1)
    Minute.objects.bulk_create(rows)


def _rows(minute: datetime, sent: int, *, slow: bool) -> list[Minute]:
    buckets = [0] * SIZE
    for _ in range(sent):
        buckets[min(SIZE - 1, max(0, int(_chance.gauss(13 if slow else 3.2, 1.6))))] += 1
    counts = {"delivered": sent, "deferred": sent // 12, "refused": sent // 30, "unavailable": 6 if slow else 0}
    return [
        Minute(
            minute=minute,
            kind="welcome",
            outcome=outcome,
            count=count,
            seconds=sent * 0.5,
            buckets=buckets if outcome == "delivered" else [0] * SIZE,
        )
        for outcome, count in counts.items()
        if count
    ]


if __name__ == "__main__":
    main()
