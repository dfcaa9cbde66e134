"""Addresses to listen at, as they are written: "host:port", "[v6]:port", "unix:/path"."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

_TCP = re.compile(r"(?:\[([0-9A-Za-z:.%]{2,64})\]|([A-Za-z0-9_.-]{1,253})):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address (IPv6 without brackets; port 0 lets the kernel choose), or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect: a loopback address, or a unix socket."""
        return bool(self.path) or is_loopback(self.host)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of the machine."""
        address = as_ip(self.host)
        return address is not None and address.is_unspecified


def parse_address(text: str) -> Address:
    """Raises ValueError with one line that says what is wrong."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError('a unix socket is written "unix:/path"')
        return Address(path=path)
    matched = _TCP.fullmatch(text)
    if matched is None:
        raise ValueError(f'{text!r} is not "host:port", "[v6]:port" or "unix:/path"')
    v6, name, digits = matched.groups()
    port = int(digits)
    if port > 65535:
        raise ValueError(f"port {port} is above 65535")
    if v6 is not None and not isinstance(as_ip(v6), ipaddress.IPv6Address):
        raise ValueError(f"[{v6}] is not an IPv6 address")
    return Address(host=v6 or name, port=port)


def parse_name_server(text: str) -> tuple[str, int]:
    """The address and the port (53 unless told) of a name server that is written "192.0.2.1", "192.0.2.1:53",
    "2001:db8::1" or "[2001:db8::1]:53". Raises ValueError with one line that says what is wrong."""
    host, port = text.strip("[]") if text.endswith("]") else text, "53"
    if "]:" in text or text.count(":") == 1:
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
    if not is_ip(host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f'{text!r} is not "address", "address:port" or "[v6]:port"')
    return host, int(port)


def answers_at(listened: Iterable[str], host: str, port: int) -> bool:
    """Whether whoever connects to `host` (a name, or an address without brackets) and `port` on this machine
    reaches one of the addresses that are `listened` at, as far as that can be told without a resolver."""
    for text in listened:
        address = parse_address(text)
        if address.path or address.port != port:
            continue
        if address.host == host or (is_loopback(host) and (address.is_wildcard or address.is_local)):
            return True
    return False


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address without brackets, means this machine and no other."""
    if host.lower() == "localhost":
        return True
    address = as_ip(host)
    return address is not None and address.is_loopback


def is_ip(host: str) -> bool:
    """Whether `host` (without brackets) is a literal address rather than a name."""
    return as_ip(host) is not None


def as_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
