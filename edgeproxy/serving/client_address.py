"""Whom a request is attributed to: the peer, or whom a trusted peer names. Pure.

Fields are read from their end, where the nearest hop wrote: each address named by a trusted hop is
believed, and the first one that is not itself trusted is the client."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Headers

_KNOWN_MAX = 32_768  # addresses whose reading is remembered: it takes 5 us
_NODE_LENGTH = 64  # an address with brackets and port has less
_HOPS = 64  # hops looked at; more are nobody's honest path
_PARAMETER = re.compile(r'[ \t]*([A-Za-z]+)=("[^"\\]*"|[^";,\s]+)[ \t]*', re.ASCII)
_PORT = re.compile(r"(\[[^\]]+\]|[^:]+)(?::[0-9]{1,5})?", re.ASCII)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Networks:
    """A list of networks, as configured: "10.0.0.0/8", "::1", or "unix" for peers without address."""

    __slots__ = ("_known", "_networks", "_unix")

    def __init__(self, texts: Iterable[str], path: str = "") -> None:
        """ConfigurationError naming `path` if a text is no network."""
        networks = []
        self._unix = False
        for text in texts:
            if text in ("unix", "unix:"):
                self._unix = True
                continue
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError as error:
                raise ConfigurationError(path, str(error)) from None
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        if not address:
            return self._unix
        if not self._networks:
            return False
        known = self._known.get(address)
        if known is None:
            parsed = parse_address(address)
            known = parsed is not None and any(parsed in network for network in self._networks)
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[address] = known
        return known


class Attribution(NamedTuple):
    """Client address, and the scheme the client used with the trusted hop ("" if not told)."""

    client: str
    scheme: str = ""


@lru_cache(maxsize=_KNOWN_MAX)
def parse_address(text: str) -> Address | None:
    """An address in its usual text form; an IPv4 address mapped into IPv6 as IPv4."""
    if len(text) > 45 or not text.isascii():
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else address


def attribute(peer: str, headers: Headers, trusted: Networks) -> Attribution:
    """Who sent a request that came from `peer`. Unless `peer` is trusted its fields say nothing."""
    if peer not in trusted:
        return Attribution(peer)
    forwarded = headers.get("forwarded")
    if forwarded:
        hops, scheme = _forwarded(forwarded)
    else:
        told = headers.get("x-forwarded-for")
        hops = told.split(",")[-_HOPS:] if "," in told else [told]
        scheme = headers.get("x-forwarded-proto").rpartition(",")[2].strip(" \t").lower()
    client = peer
    for hop in reversed(hops):
        address = _address_of(hop.strip(" \t"))
        if not address:
            break
        client = address
        if client not in trusted:
            break
    return Attribution(client, scheme if scheme in ("http", "https") else "")


@lru_cache(maxsize=_KNOWN_MAX)
def _address_of(text: str) -> str:
    """The address of a hop in its usual text form, "" if there is none."""
    address = _node(text) if len(text) <= _NODE_LENGTH else None
    return "" if address is None else str(address)


def _node(text: str) -> Address | None:
    """node of RFC 7239 section 6, without obfuscated names: an address with an optional port."""
    bare = parse_address(text)
    if bare is not None:
        return bare
    found = _PORT.fullmatch(text)
    return parse_address(found[1].strip("[]")) if found is not None else None


def _forwarded(text: str) -> tuple[list[str], str]:
    """The for= of each element in order ("" where there is none), and the last element's proto."""
    hops: list[str] = []
    scheme = ""
    for element in text.split(",")[-_HOPS:]:
        values: dict[str, str] = {}
        for pair in element.split(";"):
            found = _PARAMETER.fullmatch(pair)
            if found is not None:
                values.setdefault(found[1].lower(), found[2].strip('"'))
        hops.append(values.get("for", ""))
        scheme = values.get("proto", "").lower()
    return hops, scheme
