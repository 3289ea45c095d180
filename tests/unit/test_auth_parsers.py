"""Bodies of requests."""

from io import BytesIO

import pytest
from rest_framework.exceptions import ParseError

from auth_api.parsers import StrictJSONParser, TooLarge


def parse(body):
    return StrictJSONParser().parse(BytesIO(body))


def test_json_is_read():
    assert parse('{"name": "ليلى", "n": [1, null]}'.encode()) == {"name": "ليلى", "n": [1, None]}


NOT_JSON = {
    "empty": b"",
    "cut": b"{",
    "quotes": b"{'a': 1}",
    "bytes": b"\xff",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "twice": b'{"a": 1, "a": 2}',
    "digits": b"1" * 5000,
    "BOM": b"\xef\xbb\xbf{}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "lists": b"[" * 60_000,
    "objects": b'{"a":' * 12_000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_strict_json_is_refused(body):
    with pytest.raises(ParseError):
        parse(body)


def test_64_kib_are_read_and_one_byte_more_is_not():
    largest = b'"' + b"a" * (64 * 1024 - 2) + b'"'
    assert len(parse(largest)) == 64 * 1024 - 2

    with pytest.raises(TooLarge):
        parse(largest + b" ")
