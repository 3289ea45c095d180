"""Who is calling: the client's address, as far as it can be trusted."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_IPV6_SITE = 64  # one subscriber holds a /64, so that is one client


def address_of(request: HttpRequest) -> str:
    """The client's IP address, or "" when it is not known.

    Only what the configured number of our own proxies wrote counts: the n-th entry from the right.
    """
    direct = _parsed(str(request.META.get("REMOTE_ADDR", "")))
    forwarded = _forwarded(str(request.META.get("HTTP_X_FORWARDED_FOR", "")))
    return str(forwarded or direct or "")


def site_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 an IPv6 address is in."""
    known = _parsed(address)
    if isinstance(known, IPv6Address):
        return str(IPv6Address(int(known) >> _IPV6_SITE << _IPV6_SITE))
    return address


def _forwarded(header: str) -> IPv4Address | IPv6Address | None:
    hops: int = settings.TRUSTED_PROXIES
    entries = header.split(",")
    if not hops or len(entries) < hops:  # fewer entries than proxies: it did not come through them
        return None
    return _parsed(_without_port(entries[-hops].strip()))


def _without_port(entry: str) -> str:
    """Some proxies write 192.0.2.1:1234 or [2001:db8::1]:1234."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])  # a scope such as %eth0 is local to this machine
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
