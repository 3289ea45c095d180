"""What outages cost: nothing but time. Hours are scaled to seconds; the provider speaks real SMTP."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection, transaction

from outbox import breaker, circuit, doctor, intents
from outbox.kinds import Priority, RetryPolicy
from outbox.models import Intent
from outbox.states import State
from tests.pump import Pump
from tests.smtp import Drop, Reply, Rule, SmtpServer, Stage

pytestmark = pytest.mark.django_db(transaction=True)
SUSPENDED = Reply(550, "5.7.1 account suspended")


@pytest.fixture
def pump() -> Iterator[Callable[[], Pump]]:
    made: list[Pump] = []

    def make() -> Pump:
        made.append(Pump())
        return made[-1]

    yield make
    for each in made:
        each.lanes.close()


@pytest.fixture
def hurry(monkeypatch, outbox_settings) -> Callable[[float], None]:
    """Let the breaker's and the policy's times pass so many times faster."""

    def scale(factor: float) -> None:
        for name in ("FIRST_WAIT", "LONGEST_WAIT", "EXCUSED_WAIT"):
            monkeypatch.setattr(circuit, name, getattr(circuit, name) / factor)
        monkeypatch.setattr(breaker, "FIRST_WAIT", circuit.FIRST_WAIT)
        monkeypatch.setattr(breaker, "_SWEEP_EVERY", timedelta(seconds=0.05))
        minute = timedelta(minutes=1) / factor
        outbox_settings(BACKOFF=minute, BACKOFF_MAX=360 * minute, SLICE=timedelta(seconds=0.2))

    return scale


def count(*states: State) -> int:
    return Intent.objects.filter(state__in=states).count()


def test_an_outage_of_half_an_hour_spends_nothing_and_kills_nothing(
    smtp: SmtpServer, pump, hurry, change_kind, enqueue
):
    hurry(300)
    enqueue(60)
    change_kind("welcome", lifetime=timedelta(seconds=3))
    enqueue(5, "late")
    smtp.stop()
    worker = pump()

    worker.run(6)

    assert count(State.PENDING) == 60
    assert count(State.EXPIRED) == 5
    assert set(Intent.objects.values_list("spent", flat=True)) == {0}

    smtp.start()

    assert worker.until(lambda: count(State.SENT) == 60, 10)
    assert count(State.DEAD) == 0
    assert sum(smtp.record.copies().values()) == 60
    assert not any(smtp.record.accepted_for(f"late{n}@example.com") for n in range(5))
    assert doctor.examine() == []


def test_a_provider_that_answers_4xx_to_everything_for_40_minutes_kills_nothing(smtp: SmtpServer, pump, hurry, enqueue):
    hurry(1000)
    smtp.script.add(Rule(Stage.RCPT, Reply(451, "4.3.0 try later")))
    enqueue(60)
    worker = pump()

    worker.run(2.4)

    assert count(State.DEAD) == 0

    smtp.reset()

    assert worker.until(lambda: count(State.SENT) == 60, 15)
    assert doctor.examine() == []


def test_a_suspended_account_kills_at_most_twenty_of_five_hundred(smtp: SmtpServer, pump, hurry, enqueue):
    hurry(100)
    smtp.script.add(Rule(Stage.RCPT, SUSPENDED))
    enqueue(500)
    worker = pump()

    worker.run(6)
    killed = count(State.DEAD)

    assert 1 <= killed <= 20

    smtp.reset()

    assert worker.until(lambda: count(State.SENT) == 500 - killed, 30)
    assert count(State.DEAD) == killed
    assert doctor.examine() == []


def test_thirty_bad_addresses_and_nothing_else_are_dead_within_a_few_minutes(smtp: SmtpServer, pump, hurry, enqueue):
    hurry(50)
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user")))
    enqueue(30)
    worker = pump()

    assert worker.until(lambda: count(State.DEAD) == 30, 6)  # five minutes
    assert doctor.examine() == []


def test_a_mail_whose_rcpt_makes_the_provider_hang_up_stops_nobody_else(
    smtp: SmtpServer, pump, hurry, change_kind, enqueue
):
    hurry(100)
    change_kind("password_changed", priority=Priority.HIGH, retries=RetryPolicy(base=timedelta(seconds=0.3), factor=1))
    smtp.script.add(Rule(Stage.RCPT, Drop(), recipient=r"^poison@"))
    with transaction.atomic():
        facts = {"name": "Layla", "changed_at": "today", "client": ""}
        poison = intents.enqueue("password_changed", to="poison@example.com", context=facts)
    enqueue(1000)
    worker = pump()

    assert worker.until(lambda: count(State.SENT) == 1000, 60)
    assert worker.until(lambda: count(State.DEAD) == 1, 10)
    assert Intent.objects.get(state=State.DEAD).task_id == poison.task_id
    moments = sorted(message.accepted_at or 0 for message in smtp.record.messages)
    assert max(later - earlier for earlier, later in itertools.pairwise(moments)) < 5
    assert doctor.examine() == []


def urgent(change_kind, enqueue) -> Intent:
    """One urgent mail, enqueued now."""
    change_kind("welcome", priority=Priority.HIGH)
    intent: Intent = enqueue(1, "urgent")[0]
    return intent


def accepted_at(smtp: SmtpServer, address: str) -> float:
    """When the only mail to this address was accepted (monotonic)."""
    [message] = smtp.record.accepted_for(address)
    assert message.accepted_at is not None
    return message.accepted_at


def sent_before(smtp: SmtpServer, moment: float) -> int:
    return sum((message.accepted_at or 0) <= moment for message in smtp.record.messages)


def test_a_code_overtakes_twenty_thousand_bulk_mails(smtp: SmtpServer, pump, change_kind, enqueue):
    change_kind("welcome", priority=Priority.BULK)
    enqueue(20_000)
    worker = pump()
    worker.run(1.5)

    begun = time.monotonic()
    urgent(change_kind, enqueue)
    enqueued = time.monotonic()

    assert sent_before(smtp, begun) > 0, "nothing was going on that could be overtaken"
    assert worker.until(lambda: smtp.record.accepted_for("urgent0@example.com"), 5)
    assert sent_before(smtp, accepted_at(smtp, "urgent0@example.com")) - sent_before(smtp, enqueued) <= 50


def test_a_code_overtakes_bulk_at_a_provider_that_takes_a_second_for_each(smtp: SmtpServer, pump, change_kind, enqueue):
    smtp.script.add(Rule(Stage.ANSWER, delay=1.0))
    change_kind("welcome", priority=Priority.BULK)
    enqueue(200)
    worker = pump()
    driver = threading.Thread(target=_drive, args=(worker,), daemon=True)
    driver.start()
    smtp.record.wait_for(4)

    enqueued = time.monotonic()
    urgent(change_kind, enqueue)
    smtp.record.wait_until(lambda record: record.accepted_for("urgent0@example.com"))
    worker.stop.set()
    driver.join()

    assert accepted_at(smtp, "urgent0@example.com") - enqueued < 3


def test_a_code_overtakes_bulk_under_a_rate_limit(smtp: SmtpServer, pump, change_kind, outbox_settings, enqueue):
    outbox_settings(RATE=5.0)
    change_kind("welcome", priority=Priority.BULK)
    enqueue(200)
    worker = pump()
    worker.run(2)
    taken = len(smtp.record.messages)

    enqueued = time.monotonic()
    urgent(change_kind, enqueue)

    assert 5 <= taken <= 18  # a burst of five, and five for each of two seconds
    assert worker.until(lambda: smtp.record.accepted_for("urgent0@example.com"), 5)
    assert accepted_at(smtp, "urgent0@example.com") - enqueued < 2


def _drive(worker: Pump) -> None:
    """The loop in a thread of its own, with a connection of its own."""
    worker.until(worker.stop.is_set, 30)
    connection.close()
