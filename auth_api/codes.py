"""Derives and checks the six digits of a reset request, so that no table needs to hold them.

A code is an HMAC over the request's id and nonce. Its key comes from one of SECRET_KEY and
SECRET_KEY_FALLBACKS; the request stores which, as a fingerprint that tells nothing about the key.
"""

import hmac
import secrets
from itertools import count

from django.conf import settings

DIGITS = 6
FINGERPRINT_LENGTH = 16
_NONCE_BYTES = 16
_KEY_LABEL = b"auth_api.reset_code.key.1"
_FINGERPRINT_LABEL = b"auth_api.reset_code.fingerprint.1"
_CODES = 10**DIGITS
_WORD_BYTES = 4
_FAIR = 2 ** (8 * _WORD_BYTES) // _CODES * _CODES  # words from here on would favour small codes


def fresh_nonce() -> bytes:
    """Random bytes for a new request."""
    return secrets.token_bytes(_NONCE_BYTES)


def current_fingerprint() -> str:
    """The fingerprint of the key that new requests use."""
    return _fingerprint(settings.SECRET_KEY)


def derive(request_id: int, nonce: bytes, fingerprint: str) -> str | None:
    """The code of this request; None when this process does not have its key."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if hmac.compare_digest(_fingerprint(secret), fingerprint):
            return _code(_derived(secret, _KEY_LABEL), request_id.to_bytes(8) + nonce)
    return None


def are_equal(expected: str, given: str) -> bool:
    """Compare two codes in a time that does not depend on where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode())


def _code(key: bytes, message: bytes) -> str:
    """The first fair word of successive HMAC blocks, reduced to six digits: every code is equally likely."""
    blocks = (hmac.digest(key, message + number.to_bytes(4), "sha256") for number in count())
    words = (int.from_bytes(block[:_WORD_BYTES]) for block in blocks)
    return f"{next(word for word in words if word < _FAIR) % _CODES:0{DIGITS}d}"


def _fingerprint(secret: str) -> str:
    return _derived(secret, _FINGERPRINT_LABEL).hex()[:FINGERPRINT_LENGTH]


def _derived(secret: str, label: bytes) -> bytes:
    return hmac.digest(secret.encode(), label, "sha256")
