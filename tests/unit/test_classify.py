"""What smtplib raised, and when, becomes an outcome: the table of the design, row by row."""

import smtplib
import ssl
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.classify import classify, clean, reply
from outbox.outcomes import Deferred, Phase, Refused, Reply, Unavailable, Unknown

CONNECT, AUTH, ENVELOPE, DATA, ANSWERED = Phase
TO = "to@example.org"
FROM = "noreply@example.org"


def recipient_refused(code, text):
    return smtplib.SMTPRecipientsRefused({TO: (code, text)})


def sender_refused(code, text):
    return smtplib.SMTPSenderRefused(code, text, FROM)


@pytest.mark.parametrize(
    ("error", "phase", "outcome", "code", "enhanced"),
    [
        # No connection, greeting, TLS, login; any 5xx or 421 before MAIL
        (ConnectionRefusedError(111, "Connection refused"), CONNECT, Unavailable, None, ""),
        (TimeoutError("timed out"), CONNECT, Unavailable, None, ""),
        (OSError("no route to host"), CONNECT, Unavailable, None, ""),
        (ssl.SSLCertVerificationError("certificate has expired"), CONNECT, Unavailable, None, ""),
        (smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), CONNECT, Unavailable, None, ""),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), CONNECT, Unavailable, None, ""),
        (smtplib.SMTPConnectError(421, b"4.3.2 closing"), CONNECT, Unavailable, 421, "4.3.2"),
        (smtplib.SMTPConnectError(554, b"5.3.2 no service"), CONNECT, Unavailable, 554, "5.3.2"),
        (smtplib.SMTPHeloError(502, b"5.5.1 what?"), CONNECT, Unavailable, 502, "5.5.1"),
        (smtplib.SMTPResponseException(454, b"4.7.0 no TLS now"), CONNECT, Unavailable, 454, "4.7.0"),
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 wrong"), AUTH, Unavailable, 535, "5.7.8"),
        (smtplib.SMTPAuthenticationError(454, b"4.7.0 not now"), AUTH, Unavailable, 454, "4.7.0"),
        (smtplib.SMTPNotSupportedError("SMTP AUTH extension not supported by server."), AUTH, Unavailable, None, ""),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), AUTH, Unavailable, None, ""),
        # 5xx to MAIL from the default sender, but for the size
        (sender_refused(550, b"5.7.1 not verified"), ENVELOPE, Unavailable, 550, "5.7.1"),
        (sender_refused(553, b"5.1.8 no such domain"), ENVELOPE, Unavailable, 553, "5.1.8"),
        (sender_refused(552, b"too big"), ENVELOPE, Refused, 552, ""),
        (sender_refused(550, b"5.3.4 too big"), ENVELOPE, Refused, 550, "5.3.4"),
        (sender_refused(451, b"4.3.0 later"), ENVELOPE, Deferred, 451, "4.3.0"),
        (sender_refused(421, b"4.7.0 enough"), ENVELOPE, Deferred, 421, "4.7.0"),
        # 4xx for this mail, 5xx to this RCPT or this DATA
        (recipient_refused(450, b"4.2.0 greylisted"), ENVELOPE, Deferred, 450, "4.2.0"),
        (recipient_refused(421, b"4.7.0 enough"), ENVELOPE, Deferred, 421, "4.7.0"),
        (recipient_refused(550, b"5.1.1 no such user"), ENVELOPE, Refused, 550, "5.1.1"),
        (smtplib.SMTPDataError(451, b"4.3.0 later"), ENVELOPE, Deferred, 451, "4.3.0"),
        (smtplib.SMTPDataError(554, b"5.6.0 spam"), ENVELOPE, Refused, 554, "5.6.0"),
        (smtplib.SMTPDataError(452, b"4.3.1 full"), ANSWERED, Deferred, 452, "4.3.1"),
        (smtplib.SMTPDataError(554, b"5.7.1 spam"), ANSWERED, Refused, 554, "5.7.1"),
        (smtplib.SMTPDataError(500, b"5.6.0 Line too long"), ANSWERED, Refused, 500, "5.6.0"),
        # The connection is gone
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), ENVELOPE, Deferred, None, ""),
        (ConnectionResetError(104, "Connection reset by peer"), ENVELOPE, Deferred, None, ""),
        (TimeoutError("timed out"), ENVELOPE, Deferred, None, ""),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), DATA, Unknown, None, ""),
        (BrokenPipeError(32, "Broken pipe"), DATA, Unknown, None, ""),
        (TimeoutError("timed out"), DATA, Unknown, None, ""),
        # smtplib's own "Line too long", which comes with a 500 of its own making
        (smtplib.SMTPResponseException(500, "Line too long."), CONNECT, Unavailable, None, ""),
        (smtplib.SMTPResponseException(500, "Line too long."), AUTH, Unavailable, None, ""),
        (smtplib.SMTPResponseException(500, "Line too long."), ENVELOPE, Unavailable, None, ""),
        (smtplib.SMTPResponseException(500, "Line too long."), DATA, Unknown, None, ""),
        # What is neither yes nor no: the sides are out of step
        (smtplib.SMTPResponseException(-1, b"lo"), CONNECT, Unavailable, None, ""),
        (smtplib.SMTPResponseException(-1, b"lo"), ENVELOPE, Deferred, None, ""),
        (smtplib.SMTPResponseException(250, b"2.0.0 ok"), ENVELOPE, Deferred, 250, "2.0.0"),
        (smtplib.SMTPResponseException(354, b"go on"), DATA, Unknown, 354, ""),
    ],
)
def test_each_error_has_its_outcome(error, phase, outcome, code, enhanced):
    ended = classify(error, phase=phase)

    assert type(ended) is outcome
    assert ended.phase is phase
    assert (ended.reply.code, ended.reply.enhanced) == (code, enhanced)
    assert ended.reply.text


@pytest.mark.parametrize(
    ("code", "text", "outcome"),
    [(550, b"5.7.1 not yours", Refused), (552, b"too big", Refused), (451, b"4.3.0 later", Deferred)],
)
def test_a_sender_that_another_app_chose_says_nothing_about_the_provider(code, text, outcome):
    assert type(classify(sender_refused(code, text), phase=ENVELOPE, default_sender=False)) is outcome


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), AttributeError("a bug")])
def test_a_bug_is_raised_and_not_made_an_outcome(error):
    with pytest.raises(type(error)) as raised:
        classify(error, phase=DATA)

    assert raised.value is error


@pytest.mark.parametrize("phase", [CONNECT, AUTH])
def test_settings_that_no_connection_can_be_made_with_cost_no_mail(phase):
    with pytest.raises(UnicodeEncodeError) as raised:
        "pässword".encode("ascii")

    ended = classify(raised.value, phase=phase)

    assert type(ended) is Unavailable
    assert "ä" not in ended.reply.text
    assert "\\xe4" not in ended.reply.text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"4.2.0 greylisted, try again in 300 s", timedelta(seconds=300)),
        (b"4.7.1 Try again in 300 seconds", timedelta(seconds=300)),
        (b"4.7.1 please retry after 5 minutes", timedelta(minutes=5)),
        (b"4.7.1 try again in 90sec", timedelta(seconds=90)),
        (b"4.7.1 try again in 1 min", timedelta(minutes=1)),
        (b"4.7.1 try again later", None),
        (b"4.7.1 retry in 20 parsecs", None),
        (b"4.7.1 300 s is a long time", None),
        (b"4.2.2 mailbox full: 99999999 s", None),
    ],
)
def test_a_wait_that_the_provider_asks_for_is_understood(text, hint):
    ended = classify(recipient_refused(450, text), phase=ENVELOPE)

    assert isinstance(ended, Deferred)
    assert ended.hint == hint


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (reply(550, b"5.1.1 no such user"), Reply(text="5.1.1 no such user", code=550, enhanced="5.1.1")),
        (reply(550, b"no such user"), Reply(text="no such user", code=550)),
        (reply(550, b"5.1.1\nno such\n user"), Reply(text="5.1.1 no such user", code=550, enhanced="5.1.1")),
        (reply(550, b"5.1.1 \x00 odd \xff\x1b[31m"), Reply(text="5.1.1 odd � [31m", code=550, enhanced="5.1.1")),
        (reply(550, "المستخدم غير موجود".encode()), Reply(text="المستخدم غير موجود", code=550)),
        (reply(550, b""), Reply(text="no reason given", code=550)),
        (reply(550, b"5.1.1234 x"), Reply(text="5.1.1234 x", code=550)),
        (reply(550, b"9.1.1 x"), Reply(text="9.1.1 x", code=550)),
        (reply(-1, b"lo"), Reply(text="lo")),
        (reply(None, "Line too long."), Reply(text="Line too long.")),
    ],
)
def test_what_the_provider_said_is_kept_in_one_line(said, understood):
    assert said == understood


def test_of_a_long_reply_500_letters_are_kept():
    assert reply(550, b"x" * 4000).text == "x" * 500


@given(st.binary())
def test_whatever_the_provider_says_can_be_stored(octets):
    text = reply(550, octets).text

    assert 1 <= len(text) <= 500
    assert text.isprintable()
    assert text.encode()  # no half characters


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_whatever_an_error_says_can_be_stored(words):
    text = clean(words)

    assert 1 <= len(text) <= 500
    assert text.isprintable()
    assert text.encode()
