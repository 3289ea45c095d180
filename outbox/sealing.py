"""Encrypts at rest the messages that other apps hand over (Fernet: AES-CBC with an HMAC, timestamped)."""

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac

_LABEL = "outbox.sealing"


def seal(message: bytes) -> bytes:
    """The message under a key derived from SECRET_KEY."""
    return _keys().encrypt(message)


def unseal(sealed: bytes) -> bytes | None:
    """The message; None when neither SECRET_KEY nor a fallback sealed it."""
    try:
        return _keys().decrypt(sealed)
    except InvalidToken:
        return None


def _keys() -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_derived(secret)) for secret in secrets])


def _derived(secret: str) -> bytes:
    return urlsafe_b64encode(salted_hmac(_LABEL, "", secret=secret, algorithm="sha256").digest())
