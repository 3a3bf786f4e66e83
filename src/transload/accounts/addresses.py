"""Addresses of clients: one spelling for each, and whether a network holds it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def plain(address: str) -> str:
    """One spelling for one address: IPv4 that came by an IPv6 socket is IPv4, and a zone is left out."""
    return str(_parsed(address) or address)


def source(address: str) -> str:
    """Who is behind an address, for counting: an IPv6 client has a whole /64."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found), 64), strict=False))
    return str(found or address)


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether one of the networks holds the address."""
    found = _parsed(address)
    return found is not None and any(found in network(one) for one in networks)


@lru_cache(4096)
def network(text: str) -> IPv4Network | IPv6Network:
    """The network of `10.0.0.0/8` or of a single address; ValueError when it is none."""
    return ip_network(text, strict=False)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
