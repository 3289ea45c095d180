"""Addresses as typed, and as stored."""

import pytest

from auth_api import texts
from auth_api.addresses import AddressRefused, normalise

LONGEST_DOMAIN = ".".join(["d" * 63, "e" * 63, "f" * 57, "com"])  # 189 letters


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("a@example.com", "a@example.com"),
        ("  A.B+c@Example.ORG ", "a.b+c@example.org"),
        ("LAYLA@BÜCHER.example.com", "layla@xn--bcher-kva.example.com"),
        ("a@xn--bcher-kva.example.com", "a@xn--bcher-kva.example.com"),
        ("a@مثال.إختبار", "a@xn--mgbh0fb.xn--kgbechtv"),
        ("a@straße.example.com", "a@xn--strae-oqa.example.com"),
        ("{x}!#$%&'*/=?^_`|~-@example.com", "{x}!#$%&'*/=?^_`|~-@example.com"),
    ],
)
def test_an_address_has_one_stored_form(typed, stored):
    assert normalise(typed) == stored
    assert normalise(stored) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "a",
        "@example.com",
        "a@",
        "a@b",
        "a b@example.com",
        "a@@example.com",
        "a@example..com",
        "a.@example.com",
        "a@-example.com",
        "a@[192.0.2.1]",
        '"a b"@example.com',
        "A <a@example.com>",
        "a@localhost",
        "a\0@example.com",
        "a@exam\0ple.com",
        "a@example.com\nBcc: b@example.com",
        "a@xn--a.com",
        "a@exam\u00adple.com",
        "a@exam\ud800ple.com",
        "a@\u202eexample.com",
    ],
)
def test_what_is_not_an_address_is_refused(typed):
    with pytest.raises(AddressRefused) as refused:
        normalise(typed)
    assert refused.value.text == texts.BAD_ADDRESS


@pytest.mark.parametrize("local", ["ليلى", "jürgen", "m\u0131ke", "\u212aate", "a\u0301", "\uff4dike", "\ud800"])
def test_a_local_part_outside_ascii_is_refused_with_a_sentence_of_its_own(local):
    with pytest.raises(AddressRefused) as refused:
        normalise(f"{local}@example.com")
    assert refused.value.text == texts.LOCAL_PART_NOT_ASCII


@pytest.mark.parametrize(
    "domain",
    [
        "\u212ahalid.com",
        "example\u3002com",
        "\uff45xample.com",
        "example.\u017fo",
        "ex\u24d0mple.com",
    ],
    ids=["Kelvin sign", "ideographic full stop", "fullwidth e", "long s", "circled a"],
)
def test_a_domain_that_only_looks_like_ascii_never_becomes_it(domain):
    with pytest.raises(AddressRefused) as refused:
        normalise(f"a@{domain}")
    assert refused.value.text == texts.LOOKALIKE_DOMAIN


def test_a_dotless_i_in_a_domain_stays_another_domain():
    assert normalise("a@m\u0131ke.com") == "a@xn--mke-jua.com"


def test_an_address_of_254_letters_is_taken_and_a_longer_one_is_not():
    assert len(normalise(f"{'a' * 64}@{LONGEST_DOMAIN}")) == 254
    for longer in (
        f"{'a' * 65}@{LONGEST_DOMAIN[1:]}",
        f"{'a' * 64}@x{LONGEST_DOMAIN[:62]}.{LONGEST_DOMAIN[64:]}y",
    ):
        with pytest.raises(AddressRefused):
            normalise(longer)


def test_an_address_that_grows_too_long_in_its_ascii_form_is_refused():
    typed = "a@" + ".".join(["ü" * 50] * 4) + ".com"
    assert len(typed) < 254

    with pytest.raises(AddressRefused):
        normalise(typed)
