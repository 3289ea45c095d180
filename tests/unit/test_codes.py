"""The six digits of a reset request."""

from collections import Counter

import pytest

from auth_api import codes

NONCE = bytes(range(16))


@pytest.fixture(autouse=True)
def _secrets(settings):
    settings.SECRET_KEY = "first-secret"
    settings.SECRET_KEY_FALLBACKS = []


def test_a_code_is_what_another_implementation_of_the_same_words_computes():
    assert codes.derive(7, NONCE, "5bbda80cc4497da5") == "467535"


def test_a_code_keeps_its_leading_zeros():
    assert codes.derive(45, b"n" * 16, "5bbda80cc4497da5") == "009523"


def test_a_word_that_would_favour_small_codes_is_passed_over():
    assert codes.derive(678, b"n" * 16, "5bbda80cc4497da5") == "944883"


def test_a_code_belongs_to_one_request_and_one_nonce():
    fingerprint = codes.current_fingerprint()

    assert codes.derive(7, NONCE, fingerprint) != codes.derive(8, NONCE, fingerprint)
    assert codes.derive(7, NONCE, fingerprint) != codes.derive(7, NONCE[::-1], fingerprint)


def test_a_code_outlives_a_rotation_of_the_secret_while_the_old_one_is_a_fallback(settings):
    fingerprint = codes.current_fingerprint()
    code = codes.derive(7, NONCE, fingerprint)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "second-secret", ["first-secret"]

    assert codes.derive(7, NONCE, fingerprint) == code
    assert codes.current_fingerprint() != fingerprint


def test_a_process_without_the_key_says_so_instead_of_deriving_another_code(settings):
    fingerprint = codes.current_fingerprint()
    settings.SECRET_KEY = "second-secret"

    assert codes.derive(7, NONCE, fingerprint) is None


def test_the_fingerprint_is_not_part_of_the_key():
    assert len(codes.current_fingerprint()) == 16
    assert "first" not in codes.current_fingerprint()


def test_codes_spread_over_their_whole_range():
    fingerprint = codes.current_fingerprint()

    first_digits = Counter(str(codes.derive(number, NONCE, fingerprint))[0] for number in range(5000))

    assert set(first_digits) == set("0123456789")
    assert max(first_digits.values()) < 620  # 500 expected; five standard deviations are 106


@pytest.mark.parametrize(("given", "equal"), [("042137", True), ("042138", False), ("42137", False), ("", False)])
def test_codes_are_compared_as_text(given, equal):
    assert codes.are_equal("042137", given) is equal


def test_nonces_differ():
    assert codes.fresh_nonce() != codes.fresh_nonce()
