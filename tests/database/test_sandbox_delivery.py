"""The sandbox on the whole way: from the row over the sender to the provider, and what the row tells afterwards."""

import pytest
from django.db import transaction

from outbox import doctor, intents
from tests.database.outbox_steps import attempts_of, reread
from tests.factories import make_intent

pytestmark = pytest.mark.django_db(transaction=True)
LAYLA, OMAR, TEAM = "layla@example.com", "omar@bank.example", "team@souk.example"


@pytest.fixture(autouse=True)
def _sound():
    yield
    assert doctor.examine() == []


def test_a_mail_that_the_sandbox_lets_to_nobody_is_cancelled_with_the_reason(settings, smtp, make_sender):
    settings.EMAIL_SANDBOX_ALLOW = ["bank.example"]
    stopped, allowed = make_intent(recipient=LAYLA), make_intent(recipient=OMAR)

    make_sender().work()

    assert [(row.state, row.spent) for row in map(reread, (stopped, allowed))] == [("cancelled", 1), ("sent", 1)]
    assert "EMAIL_SANDBOX_ALLOW" in reread(stopped).reason
    assert attempts_of(stopped) == [(1, "void", "connect")]
    assert [message.recipients for message in smtp.record.messages] == [(OMAR,)]


def test_a_redirected_mail_reaches_the_one_address_with_the_banner_and_its_history_says_so(settings, smtp, make_sender):
    settings.EMAIL_SANDBOX_TO = TEAM
    intent = make_intent(recipient=LAYLA)

    make_sender().work()

    [message] = smtp.record.messages
    assert message.recipients == (TEAM,)
    assert b"[Sandbox] This mail was meant for\r\nlayla@example.com\r\n" in message.raw
    assert message.message_id == intent.message_id
    assert (reread(intent).state, reread(intent).recipient) == ("sent", LAYLA)
    assert intent.history.get().text.startswith("to team@souk.example (sandbox): ")


def test_debug_with_a_server_that_may_reach_real_people_sends_nothing_and_closes_everything(
    settings, smtp, make_sender
):
    settings.DEBUG, settings.EMAIL_HOST = True, "smtp.provider.example"
    rows = [make_intent(recipient=f"person{number}@example.com") for number in range(20)]

    make_sender().work()

    assert {reread(row).state for row in rows} == {"cancelled"}
    assert smtp.record.connections == []


def test_what_was_stopped_is_sent_once_it_is_allowed_and_asked_for_again(settings, smtp, make_sender):
    settings.EMAIL_SANDBOX_ALLOW = ["bank.example"]
    stopped = make_intent(recipient=LAYLA)
    sender = make_sender()
    sender.work()

    settings.EMAIL_SANDBOX_ALLOW = ["bank.example", "example.com"]
    with transaction.atomic():
        intents.resend(reread(stopped), actor="tester")
    sender.work()

    assert [message.recipients for message in smtp.record.messages] == [(LAYLA,)]
