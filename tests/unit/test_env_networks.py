"""Networks in the environment."""

from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from core import env


def test_networks_and_addresses_are_read(monkeypatch):
    monkeypatch.setenv("METRICS_ALLOW", "10.0.0.0/8, 192.0.2.7,fd00::/8")

    assert env.networks("METRICS_ALLOW") == [ip_network(one) for one in ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")]


def test_without_the_variable_there_are_none(monkeypatch):
    monkeypatch.delenv("METRICS_ALLOW", raising=False)

    assert env.networks("METRICS_ALLOW") == []


@pytest.mark.parametrize("value", ["10.0.0.1/8", "everybody", "10.0.0.0/33"])
def test_a_bad_network_stops_the_start_with_a_sentence_that_names_it(monkeypatch, value):
    monkeypatch.setenv("METRICS_ALLOW", value)

    with pytest.raises(ImproperlyConfigured, match=r"METRICS_ALLOW: .* use networks such as"):
        env.networks("METRICS_ALLOW")
