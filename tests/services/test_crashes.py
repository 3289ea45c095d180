"""A process killed at each boundary of its work: no mail is lost, and none is sent twice without cause."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import connection

from outbox import doctor
from outbox.models import Intent
from outbox.states import State
from tests.crashing import DISPATCHER, SENDER
from tests.pump import Pump
from tests.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
MAILS = 3


@pytest.fixture
def crash(smtp: SmtpServer) -> Callable[[str], int]:
    """Let a real process work on this test's database until it is killed at the step; its exit code."""

    def run(step: str) -> int:
        env = {**os.environ, "DATABASE_URL": _url(), "EMAIL_HOST": smtp.host, "EMAIL_PORT": str(smtp.port)}
        env |= {"DJANGO_SETTINGS_MODULE": "core.settings", "OUTBOX_LANES": "1", "OUTBOX_SLICE": "20s"}
        done = subprocess.run([sys.executable, "-m", "tests.crashing", step], env=env, timeout=60, check=False)
        return done.returncode

    return run


def _url() -> str:
    """The address of the test database, which is not the one the environment names."""
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    return f"{server}/{connection.settings_dict['NAME']}"


@pytest.fixture
def recover(outbox_settings) -> Iterator[Callable[[], bool]]:
    """What the survivors do: after the dead one's lease they take its mails back and send them."""
    pumps: list[Pump] = []

    def run() -> bool:
        held = Intent.objects.filter(lease_token__isnull=False)
        held.update(lease_until=Now() - timedelta(seconds=1))
        outbox_settings(LEASE=timedelta(seconds=1))
        pumps.append(Pump())
        return pumps[0].until(lambda: not Intent.objects.exclude(state__in=CLOSED_WELL).exists(), 20)

    yield run
    for pump in pumps:
        pump.lanes.close()


CLOSED_WELL = (State.SENT, State.DEAD)


@pytest.mark.parametrize("step", [*SENDER, *DISPATCHER])
def test_a_process_killed_there_loses_nothing(step: str, crash, recover, smtp: SmtpServer, enqueue):
    enqueue(MAILS)

    assert crash(step) == -signal.SIGKILL, "the step was never reached"
    assert recover()

    assert set(Intent.objects.values_list("state", flat=True)) == {State.SENT}
    copies = smtp.record.copies()
    allowed = SENDER[step].copies if step in SENDER else 0
    assert len(copies) == MAILS
    assert sum(copies.values()) - MAILS <= allowed
    assert doctor.examine() == []


UNKNOWABLE = {name for name, step in SENDER.items() if step.copies}


@pytest.mark.parametrize("step", ["after the begin's commit", "after RCPT", *sorted(UNKNOWABLE)])
def test_a_mail_that_must_not_be_repeated_is_never_accepted_twice(
    step: str, crash, recover, smtp: SmtpServer, enqueue, change_kind
):
    change_kind("welcome", repeatable=False)
    enqueue(MAILS)

    assert crash(step) == -signal.SIGKILL, "the step was never reached"
    assert recover()

    assert max(smtp.record.copies().values()) == 1
    dead = Intent.objects.filter(state=State.DEAD)
    assert dead.count() == (1 if step in UNKNOWABLE else 0)
    assert all(intent.reason.startswith("outcome unknown") for intent in dead)
    assert Intent.objects.filter(state=State.SENT).count() == MAILS - dead.count()
    assert doctor.examine() == []
