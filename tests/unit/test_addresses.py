"""The one form of an address, and the form that logs may show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.addresses import masked, normalised
from outbox.errors import BadAddress

LONGEST_DOMAIN = ".".join(["d" * 63, "e" * 63, "f" * 57, "com"])  # 189 letters


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("a@example.com", "a@example.com"),
        ("LAYLA.Haddad+x@Example.ORG", "layla.haddad+x@example.org"),
        ("layla@BÜCHER.example.com", "layla@xn--bcher-kva.example.com"),
        ("a@مثال.إختبار", "a@xn--mgbh0fb.xn--kgbechtv"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("a@mail.test", "a@mail.test"),
        (f"{'l' * 64}@{LONGEST_DOMAIN}", f"{'l' * 64}@{LONGEST_DOMAIN}"),  # 254 letters
    ],
)
def test_an_address_has_one_form(given, stored):
    assert normalised(given) == stored
    assert normalised(stored) == stored


@pytest.mark.parametrize(
    "address",
    [
        "",
        "layla",
        "@example.com",
        "layla@",
        "layla@localhost",
        "two@at@example.com",
        "a b@example.com",
        "ليلى@example.com",  # a non-ASCII local part
        "layla@example.com\r\nBcc: x@example.com",
        "Layla <layla@example.com>",
        "layla@example.com,omar@example.com",
        "<layla@example.com>",
        "layla@exam\x00ple.com",
        "layla@[127.0.0.1]",
        f"{'l' * 64}@{LONGEST_DOMAIN.replace('f', 'ff', 1)}",
        f"l@{'ü' * 50}.{'ü' * 50}.{'ü' * 50}.{'ü' * 50}.com",  # short enough only before it is ASCII
    ],
)
def test_what_mail_cannot_be_sent_to_is_refused_with_a_sentence(address):
    with pytest.raises(BadAddress, match="address"):
        normalised(address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ليلى@example.com", "Internationalized characters before the @-sign are not supported"),
        ("layla", "must have an @-sign"),
        ("layla@localhost", "should have a period"),
        (f"l@{'ü' * 50}.{'ü' * 50}.{'ü' * 50}.{'ü' * 50}.com", "too long"),
    ],
)
def test_the_sentence_says_why(address, why):
    with pytest.raises(BadAddress, match=why):
        normalised(address)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("layla@example.com", "l***@example.com"),
        ("l@example.com", "l***@example.com"),
        ('"odd@local"@example.com', '"***@example.com'),
        ("", "***@"),
        ("no-address", "***@no-address"),
    ],
)
def test_a_masked_address_shows_its_first_letter_and_its_domain(address, shown):
    assert masked(address) == shown


@given(st.emails())
def test_every_address_that_is_taken_is_ascii_in_lower_case_and_taken_again(address):
    try:
        stored = normalised(address)
    except BadAddress:
        return
    assert stored.isascii()
    assert stored == stored.lower()
    assert normalised(stored) == stored
