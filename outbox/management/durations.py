"""Reads times on the command line: 10s, 5m, 6h, 3d."""

import re
from argparse import ArgumentTypeError
from datetime import timedelta

_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """The time that the text names.

    Raises:
        ArgumentTypeError: it is not of the form 10, 10s, 5m, 6h, 3d.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a time such as 10s, 5m, 6h or 3d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
