"""Who may ask the control plane. Pure: header values in, a refusal or None out.

Three attackers: somebody on the network (token), a web page in the operator's browser that resolves its
own name to our address (DNS rebinding: the Host list), and one that posts to us (Origin)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from edgeproxy.address import Address, is_ip, is_loopback

_OPEN = frozenset({"/healthz", "/readyz"})  # for balancers and orchestrators, which bear no token
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The status a request is refused with, and one line for whoever sent it."""

    status: int
    message: str


@final
@dataclass(frozen=True, slots=True)
class Guard:
    """`names` are Host names accepted besides those of loopback, in lower case without port."""

    token: str
    names: frozenset[str]
    any_ip: bool

    @classmethod
    def of(cls, token: str, address: Address, names: Sequence[str], hostname: str) -> Guard:
        """The guard of a listener at `address`. At a wildcard address the machine's own name and literal
        addresses are accepted: no web page can have a literal address of ours as its own name."""
        known = {name.lower().rpartition(":")[0] if _has_port(name) else name.lower() for name in names}
        if address.is_wildcard:
            known.add(hostname.lower())
        elif address.host:
            known.add(address.host.lower())
        return cls(token, frozenset(known), address.is_wildcard)

    def refusal(
        self,
        method: str,
        path: str,
        hosts: Sequence[str],
        authorizations: Sequence[str],
        origins: Sequence[str],
        fetch_site: str,
    ) -> Refusal | None:
        """Why a request is refused, None if it is not. The arguments are field lines as they came."""
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return Refusal(403, "this Host is not one of the admin listener (see admin.hosts)")
        if self.token and path not in _OPEN and not self._is_authorised(authorizations):
            return Refusal(401, "a bearer token is needed: Authorization: Bearer <admin.token>")
        if method in ("GET", "HEAD"):
            return None
        if any(not _same_origin(origin, hosts[0]) for origin in origins):
            return Refusal(403, "a request from another origin is not taken")
        if fetch_site not in ("", "same-origin", "none"):
            return Refusal(403, "a request from another site is not taken")
        return None

    def _knows(self, host: str) -> bool:
        matched = _HOST.fullmatch(host)
        if matched is None:
            return False
        name = matched[1].lower().strip("[]")
        return is_loopback(name) or name in self.names or (self.any_ip and is_ip(name))

    def _is_authorised(self, authorizations: Sequence[str]) -> bool:
        if len(authorizations) != 1:
            return False
        scheme, _, token = authorizations[0].partition(" ")
        given = token.encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self.token.encode())


def _has_port(name: str) -> bool:
    return re.search(r":[0-9]{1,5}\Z", name) is not None and name.count(":") == 1


def _same_origin(origin: str, host: str) -> bool:
    return origin.lower() == f"http://{host.lower()}"
