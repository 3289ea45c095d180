"""The one form in which an address is stored and compared."""

from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from outbox.errors import BadAddress

_LONGEST = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets


@lru_cache(maxsize=1024)  # whoever enqueues has most often checked the same address a moment ago
def normalised(address: str) -> str:
    """Lower case, the domain in its ASCII form.

    Raises:
        BadAddress: it cannot be mailed to; the sentence says why. Non-ASCII local parts are refused.
    """
    try:
        checked = validate_email(address, allow_smtputf8=False, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise BadAddress(f"not an address that mail can be sent to: {error}") from error
    plain = (checked.ascii_email or "").lower()
    if not plain or len(plain) > _LONGEST:
        raise BadAddress(f"an address has at most {_LONGEST} letters in its ASCII form")
    return plain


def masked(address: str) -> str:
    """An address as logs and lists may show it: a***@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
