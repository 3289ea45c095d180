"""Events become log lines: named fields, addresses masked."""

import inspect
import io
import json
import logging
from uuid import UUID

import pytest
from django.dispatch import Signal

from outbox import events, receivers


@pytest.fixture
def lines(settings):
    """The lines that the outbox writes, as they are read from the log in production."""
    stream = io.StringIO()
    config = dict(settings.LOGGING["formatters"]["structured"])
    handler = logging.StreamHandler(stream)
    handler.setFormatter(config.pop("()")(**config))
    logger = logging.getLogger("outbox")
    before = (logger.handlers, logger.level, logger.propagate)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_every_event_has_its_line():
    declared = {event for _, event in inspect.getmembers(events, lambda member: isinstance(member, Signal))}

    assert declared == set(receivers._LEVELS)


def test_no_two_events_share_a_line():
    names = [name for name, _ in receivers._LEVELS.values()]

    assert len(set(names)) == len(names)


def test_an_ended_attempt_is_told_by_its_facts(lines):
    events.attempt_ended.send_robust(
        sender=None,
        task_id=UUID(int=7),
        kind="welcome",
        number=1,
        outcome="delivered",
        phase="answered",
        code=250,
        state="sent",
    )

    [line] = lines()
    line.pop("timestamp")
    assert line == {
        "event": "attempt_ended",
        "level": "info",
        "logger": "outbox",
        "task_id": "00000000-0000-0000-0000-000000000007",
        "kind": "welcome",
        "number": "1",
        "outcome": "delivered",
        "phase": "answered",
        "code": "250",
        "state": "sent",
    }


def test_what_is_not_known_is_left_out(lines):
    events.attempt_ended.send_robust(sender=None, task_id=UUID(int=7), code=None)

    assert "code" not in lines()[0]


def test_a_recipient_is_masked(lines):
    receivers._log(
        signal=events.enqueued, sender=None, task_id=UUID(int=7), kind="welcome", recipient="layla@localhost"
    )

    [line] = lines()
    assert line["recipient"] == "l***@localhost"
    assert "layla" not in json.dumps(line)


def test_a_reason_in_the_words_of_the_provider_names_nobody(lines):
    reason = "10 mails in a row were not accepted: 5.1.1 <layla@mail.test>: no such user"

    events.breaker_opened.send_robust(sender=None, provider="default", reason=reason)

    [line] = lines()
    assert line["level"] == "error"
    assert line["reason"] == "10 mails in a row were not accepted: 5.1.1 <l***@mail.test>: no such user"
