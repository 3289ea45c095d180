"""A mail that takes its process with it stops nobody else, and ends as a dead letter with its reason."""

import os
import subprocess
import sys
import time

import pytest
from django.db import connection

from outbox import doctor
from outbox.models import Intent
from outbox.states import CLOSED, State
from tests.poisoned import POISONS
from tests.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
OTHERS = 12
REASONS = {
    "kills its process": "gave up after 3 tries: the worker was lost, and its lease ran out",
    "never ends": "gave up after 3 tries: the worker was lost, and its lease ran out",
    "wants more memory than there is": "MemoryError: 2 GB",
}


@pytest.fixture
def restarted(smtp: SmtpServer):
    """A real process, started again whenever it ended, until all is closed."""
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "core.settings",
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "EMAIL_HOST": smtp.host,
        "EMAIL_PORT": str(smtp.port),
        "OUTBOX_LEASE": "1s",
        "OUTBOX_DEADLINE": "1s",
        "OUTBOX_ANSWER_TIMEOUT": "1s",
        "OUTBOX_RETRIES": "2",
        "OUTBOX_SLICE": "500ms",
    }

    def run(poison: str, seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while Intent.objects.exclude(state__in=CLOSED).exists():
            if time.monotonic() > ends:
                return False
            subprocess.run([sys.executable, "-m", "tests.poisoned", poison], env=env, timeout=60, check=False)
        return True

    return run


@pytest.mark.parametrize("poison", list(POISONS))
def test_poison_costs_no_other_mail_more_than_one_try(poison: str, restarted, smtp: SmtpServer, enqueue):
    [bad] = enqueue(1, "poison")
    Intent.objects.filter(pk=bad.pk).update(recipient="poison@example.com")
    enqueue(OTHERS)

    assert restarted(poison, 90)

    dead = Intent.objects.get(state=State.DEAD)
    assert dead.pk == bad.pk
    assert dead.reason == REASONS[poison]
    others = Intent.objects.exclude(pk=bad.pk)
    assert others.filter(state=State.SENT).count() == OTHERS
    assert max(others.values_list("spent", flat=True)) <= 2
    assert len(smtp.record.copies()) == OTHERS
    assert doctor.examine() == []
