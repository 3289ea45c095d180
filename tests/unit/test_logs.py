"""Log lines: JSON that a machine reads, without anybody's address or password."""

import io
import json
import logging
from typing import Any

import pytest
import structlog
from django.test import RequestFactory

from core.logs import logging_config


class Lines:
    """What a logger of its own writes in one of the two forms."""

    def __init__(self, *, readable: bool) -> None:
        self._stream = io.StringIO()
        config = dict(logging_config(readable=readable)["formatters"]["structured"])
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(config.pop("()")(**config))
        self.plain = logging.getLogger("tests.logs")
        self.plain.handlers, self.plain.propagate = [handler], False
        self.plain.setLevel(logging.INFO)
        self.structured = structlog.get_logger("tests.logs")

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def only(self) -> dict[str, Any]:
        """The one line, read as JSON."""
        [line, rest] = self.text.split("\n")
        assert rest == ""
        read: dict[str, Any] = json.loads(line)
        return read


@pytest.fixture
def lines():
    yield Lines(readable=False)
    logging.getLogger("tests.logs").handlers = []


def test_an_event_is_one_line_of_json_with_its_facts(lines):
    lines.structured.warning("lease_lost", what="begin", intent_id=7)

    assert lines.only.pop("timestamp").endswith("Z")
    assert {name: value for name, value in lines.only.items() if name != "timestamp"} == {
        "event": "lease_lost",
        "what": "begin",
        "intent_id": 7,
        "level": "warning",
        "logger": "tests.logs",
    }


def test_what_other_packages_log_has_the_same_form(lines):
    lines.plain.info("beat: %s is %d s late", "tick", 3, extra={"task": "dispatch"})

    assert lines.only["event"] == "beat: tick is 3 s late"
    assert (lines.only["level"], lines.only["logger"], lines.only["task"]) == ("info", "tests.logs", "dispatch")


def raised_error():
    """An error with a traceback, whose words have two lines and an address."""
    try:
        int("<layla@example.com>:\nno such user")
    except ValueError as error:
        return error


def test_an_error_carries_its_traceback_in_the_same_line(lines):
    lines.plain.error("broke", exc_info=raised_error())

    assert "in raised_error" in lines.only["exception"]
    assert "ValueError: invalid literal for int()" in lines.only["exception"]


def test_an_address_in_a_link_is_masked_too(lines):
    lines.plain.warning("went to /admin/?q=layla%40example.com&next=%2Fa%3Fq%3Dlayla%2540example.com, 40 times")

    assert "layla" not in lines.text
    assert "q=l***%40example.com&next" in lines.only["event"]
    assert lines.only["event"].endswith(", 40 times")


def test_a_line_break_in_a_value_makes_no_second_line(lines):
    lines.structured.info("x", value='one\ntwo\u2028three"}')

    assert lines.only["value"] == 'one\ntwo\u2028three"}'


def test_arabic_stays_readable(lines):
    lines.structured.info("x", brand="حسابات")

    assert "حسابات" in lines.text


def test_a_request_object_is_left_out(lines):
    lines.plain.warning("Not Found: %s", "/x", extra={"request": RequestFactory().get("/x"), "status_code": 404})

    assert "request" not in lines.only
    assert lines.only["status_code"] == 404


@pytest.mark.parametrize(
    "write",
    [
        lambda lines: lines.structured.info("refused layla@example.com"),
        lambda lines: lines.structured.info("x", reason="550 5.1.1 <layla@example.com>: no such user"),
        lambda lines: lines.structured.info("x", reason="550 to=layla@example.com,omar"),
        lambda lines: lines.structured.info("x", facts={"to": ["layla@example.com"]}),
        lambda lines: lines.structured.info("x", facts=("layla@example.com", 1)),
        lambda lines: lines.plain.info("to %s", "layla@example.com"),
        lambda lines: lines.plain.info("x", extra={"args_of_task": "('layla@example.com',)"}),
        lambda lines: lines.plain.error("x", exc_info=raised_error()),
        lambda lines: lines.structured.error("x", exc_info=raised_error()),
    ],
)
def test_no_address_gets_into_a_line(lines, write):
    write(lines)

    assert lines.only
    assert "layla" not in lines.text
    assert "***@example.com" in lines.text


def test_no_password_of_a_server_gets_into_a_line(lines):
    lines.plain.error("Cannot connect to redis://:s3cr3t@redis.example.com:6379/0")

    assert "s3cr3t" not in lines.text


@pytest.mark.parametrize("text", ["celery@worker-1 ready", "@decorated", "a @ b.c", "user@localhost"])
def test_what_is_no_address_of_a_person_is_left_alone(lines, text):
    lines.structured.info(text)

    assert lines.only["event"] == text


def test_a_long_value_is_searched_quickly(lines):
    lines.structured.info("x", value="a" * 500_000 + "@")

    assert len(lines.only["value"]) == 500_001


def test_the_readable_form_is_for_people():
    lines = Lines(readable=True)

    lines.structured.info("lease_lost", what="begin", to="layla@example.com")

    assert "lease_lost" in lines.text
    assert "what=begin" in lines.text
    assert "layla" not in lines.text
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines.text)


def test_the_readable_form_shows_where_an_error_came_from():
    lines = Lines(readable=True)

    lines.plain.error("broke", exc_info=raised_error())

    assert "in raised_error" in lines.text
