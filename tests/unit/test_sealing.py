"""Messages at rest."""

import pytest

from outbox.sealing import seal, unseal

MESSAGE = "Subject: x\r\n\r\nYour code is 042137, ليلى\r\n".encode()


@pytest.fixture(autouse=True)
def _secrets(settings):
    settings.SECRET_KEY = "first-secret"
    settings.SECRET_KEY_FALLBACKS = []


def test_a_sealed_message_opens_again_and_shows_nothing_meanwhile():
    sealed = seal(MESSAGE)

    assert unseal(sealed) == MESSAGE
    assert b"042137" not in sealed


def test_a_message_outlives_a_rotation_of_the_secret_while_the_old_one_is_a_fallback(settings):
    sealed = seal(MESSAGE)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "second-secret", ["first-secret"]

    assert unseal(sealed) == MESSAGE


def test_a_process_without_the_key_says_so(settings):
    sealed = seal(MESSAGE)

    settings.SECRET_KEY = "second-secret"

    assert unseal(sealed) is None


@pytest.mark.parametrize("sealed", [b"", b"x", seal.__name__.encode()])
def test_what_was_never_sealed_does_not_open(sealed):
    assert unseal(sealed) is None
