"""Times transactions: `python -m ops.benchmarks.enqueues COUNT`; prints milliseconds as JSON."""

import json
import os
import sys
import time
from collections.abc import Callable

from django.db import connection, transaction
from django.utils import timezone

import core.celery  # noqa: F401  (loads Django)
from auth_api.models import User
from outbox import intents
from outbox.addresses import normalised
from outbox.models import Intent

_REST_S = 0.005  # the nudge of the one before is over then


def _bare(number: int) -> None:
    """The same row, as cheap as SQL can be."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, {"task_id": os.urandom(16).hex(), "to": f"bare{number}@example.com"})


def _ours(number: int) -> None:
    intents.enqueue("welcome", to=f"ours{number}@example.com", context={"name": "Layla"})


def _timed(write: Callable[[int], None], user: User, number: int) -> float:
    """A transaction that changes a row of the business and asks for a mail, commit included."""
    normalised(f"ours{number}@example.com")  # as the view does that asks for the mail
    time.sleep(_REST_S)
    began = time.perf_counter()
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(last_login=timezone.now())
        write(number)
    return (time.perf_counter() - began) * 1000


def main(count: int) -> None:
    """Measure both in turn; the first few, which fill caches, do not count."""
    user = User.objects.create(email=f"{os.urandom(6).hex()}@example.com", name="Layla")
    both = [(_timed(_bare, user, number), _timed(_ours, user, number)) for number in range(count + 20)][20:]
    print(json.dumps({"bare": [one for one, _ in both], "ours": [one for _, one in both]}))
    Intent.objects.all().delete()
    os._exit(0) if sys.stdout.flush() is None else None  # the nudger may still wait for a Redis that hangs


_INSERT = """
INSERT INTO outbox_intent (task_id, kind, recipient, language, context, owner, message_id, priority, repeatable,
  is_sample, state, created_at, scheduled_at, due_at, expires_at, reason, attempts, spent, data_begun, maybe_sent,
  alone, excused, actor)
VALUES (%(task_id)s::uuid, 'welcome', %(to)s, 'en', '{"name": "Layla"}', '', %(to)s, 1, true, false, 'pending', now(),
  now(), now(), now() + interval '3 days', '', 0, 0, false, false, false, false, '')
"""

if __name__ == "__main__":
    main(int(sys.argv[1]))
