"""Turns an address as typed into the one that is stored, compared and written to."""

from django.core.exceptions import ValidationError
from email_validator import EmailNotValidError, validate_email

from auth_api import texts

MAX_LENGTH = 254  # RFC 5321: a path has 256 octets, two of them the angle brackets
_MAX_LOCAL = 64


class AddressRefused(ValidationError):
    """The address cannot be used; `text` says why in both languages."""

    def __init__(self, text: texts.Text) -> None:
        super().__init__(text.en, code="bad_address")
        self.text = text


def normalise(typed: str) -> str:
    """The address in ASCII lower case, its domain as the DNS knows it.

    Nothing outside ASCII is ever folded into ASCII: two addresses are the same here only if they are
    for the mail system, so nobody receives the code of another person's account (dotless i, Kelvin sign).

    Raises:
        AddressRefused: with a sentence that says why.
    """
    address = typed.strip()
    local, _, domain = address.rpartition("@")
    _refuse_too_long(address, local)
    if not local.isascii():
        raise AddressRefused(texts.LOCAL_PART_NOT_ASCII)
    known = _validated(address)
    if not domain.isascii() and _folds_into_ascii(domain, known):
        raise AddressRefused(texts.LOOKALIKE_DOMAIN)
    return known


def _refuse_too_long(address: str, local: str) -> None:
    if len(address) > MAX_LENGTH or len(local) > _MAX_LOCAL:
        raise AddressRefused(texts.ADDRESS_TOO_LONG)


def _validated(address: str) -> str:
    try:
        checked = validate_email(
            address, allow_smtputf8=False, check_deliverability=False, strict=True, test_environment=True
        )
    except EmailNotValidError as error:
        raise AddressRefused(texts.BAD_ADDRESS) from error
    return f"{checked.ascii_local_part}@{checked.ascii_domain}".lower()


def _folds_into_ascii(domain: str, address: str) -> bool:
    """Whether a label that was not ASCII became plain ASCII: then it only looked like another."""
    labels = domain.split(".")
    known = address.rpartition("@")[2].split(".")
    if len(labels) != len(known):  # an ideographic full stop became a dot
        return True
    return any(
        not typed.isascii() and not stored.startswith("xn--") for typed, stored in zip(labels, known, strict=True)
    )
