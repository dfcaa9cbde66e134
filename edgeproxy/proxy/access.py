"""Who may go where through the forward proxy. Pure: a question and the rules in, a verdict with the rule out.

A proxy that anybody may use to go anywhere is a weapon: without a word of the operator only clients of this
machine and of private networks may ask, for ports 443 and 80, and never for an address that is not public."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from edgeproxy.serving.client_address import parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
REALM = "edgeproxy"
CREDENTIALS_MAX = 4096  # of a field; more is nobody's honest password


@dataclass(frozen=True, slots=True)
class Rules:
    """`clients` are networks, `ports` those asked for; `hosts` and `refused_hosts` are names, "*.x" for all
    below one, "*" for all. Where there are `users` ("name:password") or `tokens`, one of them has to be
    shown."""

    clients: tuple[Network, ...]
    ports: frozenset[int] = frozenset({443, 80})
    hosts: tuple[str, ...] = ("*",)
    refused_hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = field(default=(), repr=False)
    tokens: tuple[str, ...] = field(default=(), repr=False)

    def of_named(self) -> Rules:
        """For clients that have shown who they are already, or cannot be asked."""
        return replace(self, users=(), tokens=())


@dataclass(frozen=True, slots=True)
class Refusal:
    """`rule` is the name of the option that refuses, for logs and metrics; `line` tells the client."""

    status: int
    rule: str
    line: str

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Fields the status asks for."""
        if self.status != 407:
            return ()
        return (
            ("Proxy-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"'),
            ("Proxy-Authenticate", f'Bearer realm="{REALM}"'),
        )


def judge(rules: Rules, client: str, host: str, port: int, authorization: str) -> Refusal | None:
    """Why this client may not go there; None if it may. `authorization` is the value of
    Proxy-Authorization. Where a host leads is judged when its addresses are known."""
    if not _is_inside(client, rules.clients):
        return Refusal(403, "clients", "this proxy does not serve your address")
    if (rules.users or rules.tokens) and not is_known(rules, authorization):
        return Refusal(407, "users", "this proxy asks for a name and a password, or a token")
    if port not in rules.ports:
        return Refusal(403, "ports", f"port {port} is not allowed here")
    name = host.rstrip(".").lower()
    if matches(name, rules.refused_hosts):
        return Refusal(403, "refused_hosts", f"{host} is refused here")
    if not matches(name, rules.hosts):
        return Refusal(403, "hosts", f"{host} is not allowed here")
    return None


def is_known(rules: Rules, authorization: str) -> bool:
    """Whether the credentials (RFC 9110 section 11.7.2) are among those configured. Takes the same time
    wherever they differ."""
    if len(authorization) > CREDENTIALS_MAX:
        return False
    scheme, _, value = authorization.strip(" \t").partition(" ")
    match scheme.lower():
        case "basic":
            shown, known = _basic(value.strip(" \t")), rules.users
        case "bearer":
            shown, known = value.strip(" \t").encode("latin-1", "replace"), rules.tokens
        case _:
            return False
    return any([hmac.compare_digest(shown, one.encode()) for one in known])  # noqa: C419 - all, always


def _basic(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a host in lower case is one of the names, or below one that begins with "*."."""
    for pattern in patterns:  # asked for every CONNECT: a generator would take longer than the answer
        if pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return True
    return False


def _is_inside(client: str, networks: tuple[Network, ...]) -> bool:
    """A peer without an address is one of this machine, behind a unix socket."""
    if not client:
        return True
    address = parse_address(client.partition("%")[0])
    if address is None:
        return False
    for network in networks:  # noqa: SIM110 - as above
        if address.version == network.version and address in network:
            return True
    return False
