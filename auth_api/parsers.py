"""Reads a request's body: strict JSON of a bounded size."""

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_BODY_BYTES = 64 * 1024


class TooLarge(APIException):
    """The body is larger than any request needs."""

    status_code = 413
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """JSON as RFC 8259 has it: UTF-8, no NaN, no name twice."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - whatever the body holds
        """The value in the body.

        Raises:
            TooLarge: more than 64 KiB.
            ParseError: not JSON, or nested deeper than Python follows.
        """
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge
        try:
            return json.loads(body.decode(), parse_constant=_refuse, object_pairs_hook=_distinct)
        except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, or too many digits
            raise ParseError from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two readers of one body must not see two different values."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields
