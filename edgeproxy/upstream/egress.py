"""The proxy through which this node reaches others, where its network has one (an egress proxy), and whom it
reaches without. Pure.

Said by an option, or as to all programs by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. There is no
standard for these; they are read as curl and Go read them."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from edgeproxy.address import Address, answers_at, as_ip, is_loopback
from edgeproxy.errors import ConfigurationError

ENVIRONMENT = "environment"
_OPTION = "upstream.proxy"


@dataclass(frozen=True, slots=True)
class EgressProxy:
    """A proxy that is spoken to without TLS. `user` is "name:password", "" for none."""

    host: str
    port: int
    user: str = field(default="", repr=False)

    @property
    def authority(self) -> str:
        return str(Address(self.host, self.port))


@dataclass(frozen=True, slots=True)
class Egress:
    """`https` and `http` are the proxies to upstreams of that scheme; `direct` are the hosts reached without,
    as NO_PROXY names them: a host with all below it, ".below" and "*.below", "host:port", an address, a
    network, "*" for all."""

    https: EgressProxy | None = None
    http: EgressProxy | None = None
    direct: tuple[str, ...] = ()

    def to(self, scheme: str, host: str, port: int) -> EgressProxy | None:
        """None for who is reached without. This machine always is."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or is_loopback(host) or host.endswith(".localhost"):
            return None
        return None if any(_covers(one, host, port) for one in self.direct) else proxy


def egress(
    proxy: str, direct: Iterable[str], environ: Mapping[str, str], listens: Collection[str]
) -> tuple[Egress, list[str]]:
    """What the options say, or `environ` where `proxy` is ENVIRONMENT; and lines about what is not done. A
    proxy at one of the addresses at which this node `listens` is this node, and left out. Raises
    ConfigurationError."""
    hosts = tuple(direct)
    if proxy != ENVIRONMENT:
        found = _proxy(proxy) if proxy else None
        if found is not None and answers_at(listens, found.host, found.port):
            raise ConfigurationError(_OPTION, f"{found.authority} is this node")
        return Egress(found, found, hosts), []
    lines: list[str] = []
    said = {name.lower(): value.strip() for name, value in sorted(environ.items()) if value.strip()}
    proxies: dict[str, EgressProxy | None] = {}
    for scheme in ("https", "http"):
        name = f"{scheme}_proxy" if f"{scheme}_proxy" in said else "all_proxy"
        proxies[scheme] = None
        if name not in said:
            continue
        try:
            found = _proxy(said[name])
        except ConfigurationError as error:
            lines.append(f"{name.upper()} is left out: {str(error).removeprefix(f'{_OPTION}: ')}")
            continue
        if answers_at(listens, found.host, found.port):
            lines.append(f"{name.upper()} is left out: {found.authority} is this node")
        else:
            proxies[scheme] = found
    named = (part.strip().lower() for part in said.get("no_proxy", "").split(","))
    return Egress(proxies["https"], proxies["http"], (*hosts, *filter(None, named))), lines


def _proxy(text: str) -> EgressProxy:
    """Raises ConfigurationError, which does not repeat what may hold a password."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = (parts.hostname or "").lower(), parts.port or 80
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme not in ("", "http"):
        raise ConfigurationError(_OPTION, f"{parts.scheme} is no way to a proxy here; only http:// is")
    if not host or not host.isascii() or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(_OPTION, "is written http://[NAME:PASSWORD@]HOST:PORT")
    name = unquote(parts.username or "")
    user = f"{name}:{unquote(parts.password or '')}" if name else ""
    if any(sign < " " for sign in user) or ":" in name:
        raise ConfigurationError(_OPTION, "its name or password has signs that no proxy takes")
    return EgressProxy(host, port, user)


def _covers(pattern: str, host: str, port: int) -> bool:
    pattern = pattern.lower()
    if pattern == "*":
        return True
    address = as_ip(host)
    if address is not None and "/" in pattern:
        try:
            return address in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    if as_ip(pattern.strip("[]")) is None:
        name, mark, number = pattern.rpartition(":")
        if mark and number.isdigit():
            if int(number) != port:
                return False
            pattern = name
    if address is not None:
        return as_ip(pattern.strip("[]")) == address
    pattern = pattern.removeprefix("*")
    return host.endswith(pattern) if pattern.startswith(".") else f".{host}".endswith(f".{pattern}")
