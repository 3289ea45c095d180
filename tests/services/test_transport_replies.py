"""What a server may say, or not say, to a transport that waits for its answer."""

import time
from datetime import timedelta

import pytest

from outbox.outcomes import Deferred, Delivered, Refused, Unavailable, Unknown
from tests.services import raw_provider
from tests.services.raw_provider import USUAL, dripping, saying
from tests.services.transport_steps import CONNECT, DATA, ENVELOPE, SHORT, assert_ended, deliver
from tests.smtp import Hang, Reply, Rule, Stage

# What a server may say


def test_a_reply_with_nul_and_half_letters_over_several_lines_is_kept_in_one(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.RCPT, Reply.of_bytes(550, b"5.1.1 no\x00 such\xff user\n5.1.1 see\thttps://x.test")))

    ended = deliver(smtp_transport)

    assert_ended(ended, Refused, ENVELOPE, 550, "5.1.1")
    assert ended.reply.text == "5.1.1 no such� user 5.1.1 see https://x.test"


def test_a_reply_in_arabic_is_kept(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 لا يوجد")))

    assert deliver(smtp_transport).reply.text == "5.1.1 لا يوجد"


def test_of_a_long_reply_500_letters_are_kept(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 " + "x" * 4000)))

    ended = deliver(smtp_transport)

    assert_ended(ended, Refused, ENVELOPE, 550, "5.1.1")
    assert len(ended.reply.text) == 500


@pytest.mark.parametrize(
    ("stage", "outcome", "phase"),
    [
        (Stage.CONNECT, Unavailable, CONNECT),
        (Stage.EHLO, Unavailable, CONNECT),
        (Stage.MAIL, Unavailable, ENVELOPE),
        (Stage.RCPT, Unavailable, ENVELOPE),
        (Stage.DATA, Unavailable, ENVELOPE),
        (Stage.ANSWER, Unknown, DATA),
    ],
)
def test_a_line_longer_than_smtplib_reads_ends_the_connection(smtp, smtp_transport, stage, outcome, phase):
    smtp.script.add(Rule(stage, Reply(250, "x" * 9000), times=1))

    ended = deliver(smtp_transport)

    assert_ended(ended, outcome, phase)
    assert ended.reply.text == "Line too long."
    assert type(deliver(smtp_transport)) is Delivered


@pytest.mark.parametrize(
    ("stage", "outcome", "phase"),
    [(Stage.EHLO, Unavailable, CONNECT), (Stage.RCPT, Deferred, ENVELOPE), (Stage.ANSWER, Unknown, DATA)],
)
def test_an_answer_of_endless_lines_is_not_read_to_its_end(smtp, smtp_transport, stage, outcome, phase):
    smtp.script.add(Rule(stage, Reply(250, "\n".join(["x" * 1000] * 80)), times=1))

    ended = deliver(smtp_transport)

    assert_ended(ended, outcome, phase)
    assert "the answer has no end" in ended.reply.text
    assert type(deliver(smtp_transport)) is Delivered


STEPS = [
    (raw_provider.GREETING, Unavailable, CONNECT),
    (raw_provider.EHLO, Unavailable, CONNECT),
    (raw_provider.MAIL, Deferred, ENVELOPE),
    (raw_provider.RCPT, Deferred, ENVELOPE),
    (raw_provider.DATA, Deferred, ENVELOPE),
    (raw_provider.ANSWER, Unknown, DATA),
]
each_step = pytest.mark.parametrize(("step", "outcome", "phase"), STEPS)


def with_answer(step, octets):
    return [*USUAL[:step], octets, *USUAL[step + 1 :]]


@each_step
@pytest.mark.parametrize("octets", [b"hello\r\n", b"\r\n", b"-12 x\r\n", b"\x00\xff\r\n"])
def test_an_answer_without_a_code_ends_the_connection(raw, smtp_transport, step, outcome, phase, octets):
    raw(saying(with_answer(step, octets)))

    ended = deliver(smtp_transport)

    assert_ended(ended, outcome, phase)
    assert smtp_transport._smtp is None


def test_a_server_one_answer_ahead_never_makes_a_mail_look_delivered(raw, smtp_transport):
    raw(saying(with_answer(raw_provider.RCPT, b"250 2.1.5 ok\r\n250 2.1.5 ok\r\n")))

    assert_ended(deliver(smtp_transport), Deferred, ENVELOPE, 250, "2.1.5")
    assert smtp_transport._smtp is None


# Time


@each_step
@pytest.mark.usefixtures("short_patience")
def test_a_server_that_drips_octets_holds_nobody_longer_than_one_that_is_silent(
    raw, smtp_transport, step, outcome, phase
):
    raw(dripping(step, b"2", seconds=20 * SHORT))

    began = time.monotonic()
    ended = deliver(smtp_transport)

    assert_ended(ended, outcome, phase)
    assert SHORT <= time.monotonic() - began < 10 * SHORT


@pytest.mark.parametrize("step", [raw_provider.EHLO, raw_provider.ANSWER])
@pytest.mark.usefixtures("short_patience")
def test_a_server_that_drips_lines_holds_nobody_longer_than_one_that_is_silent(raw, smtp_transport, step):
    raw(dripping(step, b"250-and more\r\n", seconds=20 * SHORT))

    began = time.monotonic()
    deliver(smtp_transport)

    assert time.monotonic() - began < 10 * SHORT


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.EHLO, Stage.RCPT, Stage.ANSWER])
def test_the_whole_dialogue_ends_at_its_deadline_however_patient_each_step_is(
    smtp, smtp_transport, outbox_settings, stage
):
    outbox_settings(DEADLINE=timedelta(seconds=0.6), ANSWER_TIMEOUT=timedelta(seconds=0.6))
    smtp.script.add(Rule(stage, delay=4))

    began = time.monotonic()
    ended = deliver(smtp_transport)

    assert type(ended) is not Delivered
    assert 0.6 <= time.monotonic() - began < 3


def test_steps_that_are_each_in_time_are_not_when_they_are_too_many(smtp, smtp_transport, outbox_settings):
    outbox_settings(DEADLINE=timedelta(seconds=0.6), ANSWER_TIMEOUT=timedelta(seconds=0.6))
    for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.ANSWER):
        smtp.script.add(Rule(stage, delay=0.5))

    began = time.monotonic()
    ended = deliver(smtp_transport)

    assert_ended(ended, Deferred, ENVELOPE)
    assert time.monotonic() - began < 1.5  # two seconds without a deadline


def test_an_answer_to_the_final_dot_may_take_longer_than_one_to_a_command(smtp, smtp_transport, settings):
    settings.EMAIL_TIMEOUT = SHORT
    smtp.script.add(Rule(Stage.ANSWER, delay=2 * SHORT))

    assert type(deliver(smtp_transport)) is Delivered


def test_after_a_slow_answer_commands_have_no_more_time_than_before(smtp, smtp_transport, settings):
    settings.EMAIL_TIMEOUT = SHORT
    deliver(smtp_transport)
    smtp.script.add(Rule(Stage.MAIL, Hang()))

    began = time.monotonic()
    deliver(smtp_transport)

    assert time.monotonic() - began < 10 * SHORT  # twice: kept, then fresh


def test_a_second_dialogue_on_a_kept_connection_has_a_deadline_of_its_own(smtp, smtp_transport, outbox_settings):
    outbox_settings(DEADLINE=timedelta(seconds=2), ANSWER_TIMEOUT=timedelta(seconds=2))
    smtp.script.add(Rule(Stage.ANSWER, delay=1.2))

    assert [type(deliver(smtp_transport, number=number)) for number in range(2)] == [Delivered, Delivered]
    assert len(smtp.record.connections) == 1
