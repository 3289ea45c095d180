"""What other apps send through Django's e-mail API: recorded, sealed, and sent as it was made."""

from email import message_from_bytes
from email.policy import default

import pytest
from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection
from django.db import transaction

from outbox import doctor, intents
from outbox.errors import BadAddress, BadContext
from outbox.models import Intent
from outbox.states import State
from tests.pump import Pump
from tests.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "the launch code is 4711"


@pytest.fixture(autouse=True)
def _recorded(settings, smtp):
    settings.EMAIL_BACKEND = "outbox.backends.EmailBackend"


@pytest.fixture
def pump():
    made = Pump()
    yield made
    made.lanes.close()


def message(**fields) -> EmailMultiAlternatives:
    usual = {"subject": "Größe", "body": SECRET, "from_email": "Ops <ops@example.com>", "to": ["ann@example.com"]}
    made = EmailMultiAlternatives(**{**usual, **fields})
    made.attach_alternative(f"<p>{SECRET}</p>", "text/html")
    return made


def all_sent() -> bool:
    return not Intent.objects.exclude(state=State.SENT).exists()


def test_each_recipient_has_an_intent_and_an_outcome_of_its_own(smtp: SmtpServer, pump):
    sent = message(to=["Ann <ann@example.com>", "bob@example.com"], cc=["cy@example.com"], bcc=["dee@example.com"])

    assert sent.send() == 1
    assert pump.until(all_sent, 10)

    assert sorted(recipient for mail in smtp.record.messages for recipient in mail.recipients) == [
        "ann@example.com",
        "bob@example.com",
        "cy@example.com",
        "dee@example.com",
    ]
    assert {mail.sender for mail in smtp.record.messages} == {"ops@example.com"}
    assert doctor.examine() == []


def test_the_message_arrives_as_it_was_made_and_tells_nobody_of_a_blind_copy(smtp: SmtpServer, pump):
    sent = message(bcc=["dee@example.com"])
    sent.attach("note.txt", "attached", "text/plain")
    sent.send()
    assert pump.until(all_sent, 10)

    for mail in smtp.record.messages:
        parsed = message_from_bytes(mail.raw, policy=default)
        assert parsed["Subject"] == "Größe"
        assert parsed["To"] == "ann@example.com"
        assert parsed["Bcc"] is None
        text = parsed.get_body(("plain",))
        assert text is not None
        assert text.get_content().strip() == SECRET
        assert [part.get_filename() for part in parsed.iter_attachments()] == ["note.txt"]
        assert not mail.has_bare_newline


def test_the_message_is_in_no_column_in_clear():
    message().send()

    row = Intent.objects.get()
    shown = repr({name: value for name, value in vars(row).items() if name != "payload"})
    assert row.payload is not None
    assert b"4711" not in bytes(row.payload)
    assert "4711" not in shown
    assert "Größe" not in shown


def test_the_message_shares_the_fate_of_its_transaction():
    with transaction.atomic():
        message().send()
        transaction.set_rollback(True)

    assert not Intent.objects.exists()


def test_a_message_id_of_its_own_is_kept_and_a_resent_copy_has_another(smtp: SmtpServer, pump):
    message(headers={"Message-ID": "<mine@example.com>"}).send()
    assert pump.until(all_sent, 10)
    with transaction.atomic():
        copy = intents.resend(Intent.objects.get(), actor="somebody")

    assert pump.until(all_sent, 10)

    assert [mail.message_id for mail in smtp.record.messages] == ["<mine@example.com>", copy.message_id]


def test_a_key_that_was_rotated_still_opens_and_one_that_is_gone_gives_the_mail_back(settings, smtp: SmtpServer, pump):
    message().send()
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another key, another key, another key, another key"

    pump.run(0.5)

    [waiting] = Intent.objects.all()
    assert (waiting.state, waiting.spent) == (State.PENDING, 0)

    settings.SECRET_KEY_FALLBACKS = [old]
    Intent.objects.update(due_at=waiting.created_at)

    assert pump.until(all_sent, 10)


def test_a_bad_message_is_refused_where_it_is_sent():
    with pytest.raises(BadAddress):
        message(to=["nobody"]).send()
    with pytest.raises(BadHeaderError):
        message(subject="a\nBcc: eve@example.com").send()
    with pytest.raises(BadContext):
        message(body="x" * (10 * 1024 * 1024)).send()

    assert get_connection(fail_silently=True).send_messages([message(to=["nobody"]), message()]) == 1
    assert Intent.objects.count() == 1
