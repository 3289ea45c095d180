"""Whose request it is, behind a number of proxies."""

import pytest

from auth_api import clients


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        (0, "203.0.113.9", "192.0.2.1"),  # nobody in front: the header is anybody's invention
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # what the client wrote itself stands to the left
        (2, "6.6.6.6, 203.0.113.9, 198.51.100.2", "203.0.113.9"),
        (2, "203.0.113.9", "192.0.2.1"),  # did not come through both
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::7]:4711", "2001:db8::7"),
        (1, "2001:db8::7", "2001:db8::7"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_only_what_our_own_proxies_wrote_counts(rf, settings, proxies, forwarded, client):
    settings.TRUSTED_PROXIES = proxies

    assert clients.address_of(rf.get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)) == client


@pytest.mark.parametrize("remote", ["", "unix:", "gibberish"])
def test_a_client_without_an_address_is_not_known(rf, remote):
    assert clients.address_of(rf.get("/", REMOTE_ADDR=remote)) == ""


def test_a_whole_ipv6_network_is_one_client():
    assert clients.site_of("2001:db8:1:2:aaaa::1") == clients.site_of("2001:db8:1:2:bbbb::9")
    assert clients.site_of("2001:db8:1:2::1") != clients.site_of("2001:db8:1:3::1")
    assert clients.site_of("192.0.2.1") == "192.0.2.1"
