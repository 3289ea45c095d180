"""Header values in ASCII: encoded where they must be (RFC 2047), quoted and folded where they need it."""

import re
from email.header import Header
from email.utils import formataddr, parseaddr
from functools import lru_cache

_LINE = 76  # letters of a line with an encoded word (RFC 2047 section 2)
_LONGEST_WORD = 60  # a longer one leaves a line that cannot be folded
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ADDRESS = re.compile(r"[!-~]+@[!-~]+")  # printable ASCII without spaces
_FOLD = "\r\n "


@lru_cache(maxsize=256)  # few subjects differ from mail to mail
def unstructured(name: str, value: str) -> str:
    """The value of a header that holds free text, such as Subject."""
    line = _one_line(value)
    plain = _is_plain(line) and all(len(word) <= _LONGEST_WORD for word in line.split())
    return Header(line, None if plain else "utf-8", header_name=name).encode(linesep="\r\n")


@lru_cache(maxsize=64)  # the same few senders in every mail
def mailbox(name: str, value: str) -> str:
    """The value of a header that holds one address, such as From: `Souk, Dubai <a@b>` in the form parsers agree on."""
    shown, address = split(value)
    if not shown:
        return address
    plain = formataddr((shown, address)) if _is_plain(shown) else ""
    if plain and len(f"{name}: {plain}") <= _LINE:
        return plain
    encoded = Header(shown, "utf-8", header_name=name, maxlinelen=_LINE).encode(linesep="\r\n")
    last_line = encoded.rpartition("\r\n")[2]
    fits = len(f"{name}: {last_line} <{address}>") <= _LINE
    return f"{encoded}{' ' if fits else _FOLD}<{address}>"


@lru_cache(maxsize=64)
def split(value: str) -> tuple[str, str]:
    """The name ("" for none) and the address of `Name <address>`."""
    name, address = parseaddr(_one_line(value))
    return name.strip(), address


def is_mailbox(value: str) -> bool:
    """Whether `split` and every other reader find the same address in it: `Souk, Dubai <a@b>` needs quotes."""
    address = split(value)[1]
    return bool(_ADDRESS.fullmatch(address)) and value.rstrip("> ").endswith(address)


def _one_line(value: str) -> str:
    """A line break in a value would begin a header of its own, or the body."""
    return " ".join(_CONTROL.sub(" ", value).split())


def _is_plain(line: str) -> bool:
    """Whether it may stand as it is; what only looks like an encoded word would be decoded."""
    return line.isascii() and "=?" not in line
