"""Whether what a configuration says of the router makes sense."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from edgeproxy.config_router import Router, RouterCoverage, RouterDns, RouterNode, RouterZone
from edgeproxy.configuration.upstream_checks import check_pair, check_pins
from edgeproxy.errors import ConfigurationError

SECRET_LENGTH_MIN = 32

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_DNS_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.?"
)
_HEX = re.compile(r"[0-9a-fA-F]{32}")
_SECRET = re.compile(r"[!-~]*")


def check_router(router: Router) -> None:
    """Raises ConfigurationError for the first thing that cannot work."""
    names = [node.name for node in router.node]
    for node in router.node:
        _check_node(node, names)
    for place, entry in enumerate(router.coverage, 1):
        _check_coverage(entry, names, f"router.coverage.{place}")
    _check_apart(router.coverage)
    _countries(router.countries, "router.countries")
    _check_secret(router)
    _check_own(router, names)
    _check_paths(router)
    if router.rules.full > router.rules.overfull:
        raise ConfigurationError("router.rules.full", "is above router.rules.overfull")
    _check_signals(router)
    check_pins(router.tls.pins, "router.tls.pins")
    check_pair(router.tls.certificate, router.tls.key, "router.tls")
    _check_dns(router.dns, router.node)


def _check_node(node: RouterNode, names: list[str]) -> None:
    path = f"router.node.{node.name}"
    if _NAME.fullmatch(node.name) is None:
        raise ConfigurationError(path, "a node's name is 1 to 63 letters, digits, - and _")
    if names.count(node.name) > 1:
        raise ConfigurationError(path, "two nodes have this name")
    _check_url(node.url, f"{path}.url")
    for text in node.addresses:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ConfigurationError(f"{path}.addresses", f"{text!r} is not an IP address") from None
    if (node.latitude is None) != (node.longitude is None):
        missing = "latitude" if node.latitude is None else "longitude"
        raise ConfigurationError(f"{path}.{missing}", "latitude and longitude are set together or not at all")
    if node.country:
        _countries([node.country], f"{path}.country")
    _countries(node.countries, f"{path}.countries")
    for member in node.members:
        if member not in names or member == node.name:
            raise ConfigurationError(f"{path}.members", f"{member!r} is no other [[router.node]]")


def _check_url(url: str, path: str) -> None:
    """The URL is what clients are sent to: it holds no secret, and targets are put behind it."""
    if not url:
        raise ConfigurationError(path, "is needed: clients are sent there")
    if urlsplit(url).username is not None:
        raise ConfigurationError(path, "cannot hold a user name or password: every client would see it")


def _countries(codes: Iterable[str], path: str) -> None:
    for code in codes:
        if _COUNTRY.fullmatch(code) is None:
            raise ConfigurationError(path, f"{code!r} is not a country: two capital letters, as DE")


def _check_coverage(entry: RouterCoverage, names: list[str], path: str) -> None:
    if not entry.nodes:
        raise ConfigurationError(f"{path}.nodes", "is empty: say which nodes these clients belong to")
    for name in entry.nodes:
        if name not in names:
            raise ConfigurationError(f"{path}.nodes", f"{name!r} is no [[router.node]]")
    if not (entry.networks or entry.asns or entry.countries):
        raise ConfigurationError(
            f"{path}.networks", "is needed, or asns or countries: whose clients are meant"
        )
    _countries(entry.countries, f"{path}.countries")


def _check_apart(entries: list[RouterCoverage]) -> None:
    seen: dict[object, int] = {}
    for place, entry in enumerate(entries, 1):
        networks = [ipaddress.ip_network(network) for network in entry.networks]
        keys: list[object] = [*networks, *entry.asns, *entry.countries]
        for key in keys:
            if key in seen:
                first = f"router.coverage.{seen[key]}"
                raise ConfigurationError(f"router.coverage.{place}", f"{key} belongs to {first} already")
            seen[key] = place


def _check_secret(router: Router) -> None:
    if router.secret and router.secret_file:
        raise ConfigurationError("router.secret_file", "router.secret is set already")
    if router.secret and len(router.secret) < SECRET_LENGTH_MIN:
        raise ConfigurationError(
            "router.secret", f"is {SECRET_LENGTH_MIN} signs or more: it is guessed at offline"
        )
    if _SECRET.fullmatch(router.secret) is None:
        raise ConfigurationError("router.secret", "is written in printable ASCII without spaces")
    if router.private and not (router.secret or router.secret_file):
        raise ConfigurationError("router.secret", "is needed: it signs the URLs of router.private")
    if router.enabled and len(router.node) > 1 and not (router.secret or router.secret_file):
        raise ConfigurationError(
            "router.secret", "is needed, the same on all nodes: by it they know whom another has sent"
        )


def _check_own(router: Router, names: list[str]) -> None:
    if router.own and router.own not in names:
        raise ConfigurationError("router.own", f"{router.own!r} is no [[router.node]]")
    if router.enabled and router.node and not router.own:
        raise ConfigurationError("router.own", "is needed: which [[router.node]] is this node?")


def _check_paths(router: Router) -> None:
    if router.endpoint and _PATH.fullmatch(router.endpoint) is None:
        raise ConfigurationError("router.endpoint", 'is a path like "/route", without a slash at its end')
    for prefix in router.private:
        if _PATH.fullmatch(prefix.rstrip("/") or "/_") is None or not prefix.startswith("/"):
            raise ConfigurationError("router.private", f'{prefix!r} is not a path prefix like "/hf/acme"')


def _check_signals(router: Router) -> None:
    signals = router.signals
    if signals.token and signals.token_file:
        raise ConfigurationError("router.signals.token_file", "router.signals.token is set already")
    if _SECRET.fullmatch(signals.token) is None:
        raise ConfigurationError("router.signals.token", "is written in printable ASCII without spaces")
    has_token = bool(signals.token or signals.token_file)
    if (signals.announced or signals.announced_networks) and not has_token:
        raise ConfigurationError("router.signals.token", "is needed: anybody could announce a node")
    if signals.routers and not has_token:
        raise ConfigurationError("router.signals.token", "is needed: routers believe nobody without it")
    for url in signals.routers:
        if urlsplit(url).path not in ("", "/"):
            raise ConfigurationError("router.signals.routers", "a router has no path in its URL")
    if signals.missed < 1 or signals.interval <= 0:
        raise ConfigurationError("router.signals.missed", "is 1 or more, and interval above 0")


def _check_dns(dns: RouterDns, nodes: list[RouterNode]) -> None:
    if not dns.listen:
        return
    if not dns.zone:
        raise ConfigurationError("router.dns.zone", "is needed: [[router.dns.zone]] with name and names")
    for place, zone in enumerate(dns.zone, 1):
        _check_zone(zone, f"router.dns.zone.{place}")
    if dns.ttl_min > dns.ttl_max:
        raise ConfigurationError("router.dns.ttl_min", "is above router.dns.ttl_max")
    if dns.cookie_secret and _HEX.fullmatch(dns.cookie_secret) is None:
        raise ConfigurationError("router.dns.cookie_secret", "is 32 hexadecimal digits")
    if nodes and not any(node.addresses for node in nodes):
        raise ConfigurationError("router.node.addresses", "no node has one: DNS could not answer")


def _check_zone(zone: RouterZone, path: str) -> None:
    for key, names in (("name", [zone.name]), ("names", zone.names), ("nameservers", zone.nameservers)):
        for name in names:
            plain = name.removeprefix("*.")
            if plain != "@" and (len(name) > 253 or _DNS_NAME.fullmatch(plain) is None):
                raise ConfigurationError(f"{path}.{key}", f"{name!r} is not a lower-case name")
    if not (zone.nameservers or zone.records or zone.file):
        raise ConfigurationError(f"{path}.nameservers", "is empty: a zone has a name server")
    for text in zone.elsewhere:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ConfigurationError(f"{path}.elsewhere", f"{text!r} is not an IP address") from None
