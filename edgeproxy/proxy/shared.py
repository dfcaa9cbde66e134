"""What all ways through the proxy share: rules, dialing, the authority, and the tunnels that are open."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.proxy.local_ca import LocalCa
from edgeproxy.proxy.refusers import Refusers
from edgeproxy.proxy.tunnel import Tunnel
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.address_guard import Address, refusal
from edgeproxy.upstream.egress import Egress
from edgeproxy.upstream.upstream import Reach


@dataclass(frozen=True, slots=True)
class Settings:
    """`idle_seconds` without a byte end a tunnel; `tunnels_max` at a time. `only_sites`: nowhere else;
    `is_off`: nowhere at all. `web_sockets` of hosts that are answered here are passed on."""

    rules: Rules
    idle_seconds: float
    tunnels_max: int
    only_sites: bool = False
    is_off: bool = False
    web_sockets: bool = True


class Entering(Protocol):
    """A client that has been told 200, and has not said yet what it wants to be."""

    def abort(self) -> None: ...


# Whether a site serves something under a scheme, a host and a port; and how it reaches that.
HasSite: TypeAlias = Callable[[str, str, int], Awaitable[bool]]
HasSiteAtHand: TypeAlias = Callable[[str, str, int], bool]
ReachOf: TypeAlias = Callable[[str, str, int], Awaitable[Reach | None]]


@dataclass(slots=True)
class Shared:
    """`has_site` tells which hosts sites know over a scheme, `has_site_at_hand` those of which that is known
    without asking anybody; without a `ca` none is answered here over TLS. `entering` end with the node.
    `ports` are those of transparent listeners. `settings`, `dialing` and `ca` may be replaced at any time."""

    settings: Settings
    dialing: Dialing
    has_site: HasSite
    has_site_at_hand: HasSiteAtHand
    reach_of: ReachOf
    ca: LocalCa | None
    tasks: Tasks
    metrics: Metrics
    clock: Clock
    report: Callable[[str], None]
    refusers: Refusers
    ports: Callable[[], frozenset[int]] = frozenset
    tunnels: set[Tunnel] = field(default_factory=set)
    entering: set[Entering] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.metrics.gauge("tunnels", lambda: len(self.tunnels))

    async def dial(self, host: str, port: int, *, private: bool = False) -> socket.socket:
        """`private`: also to an address that is not public, whatever the rules say. Raises UpstreamError."""
        if len(self.tunnels) >= self.settings.tunnels_max:
            raise UpstreamError(ProxyError.CONNECTION_LIMIT_REACHED, "too many tunnels at a time", sent=False)
        dialing = replace(self.dialing, private=True) if private else self.dialing
        return await dialing.dial(host, port)

    async def dial_directly(self, address: Address, port: int) -> socket.socket:
        """To where a client has been going already: any address but those of a machine itself. Raises
        UpstreamError."""
        reason = refusal(address)
        if reason in ("loopback", "unspecified", "multicast") or address.is_link_local:
            raise UpstreamError(ProxyError.DESTINATION_IP_PROHIBITED, f"{address} is {reason}", sent=False)
        return await replace(self.dialing, private=True, egress=Egress()).dial(str(address), port)

    def status(self) -> dict[str, Any]:
        """For people: what is open, and hosts whose certificates clients refuse."""
        return {
            "tunnels": len(self.tunnels),
            "refused_certificates": [
                {"host": host, "times": one.count, "last_client": one.client, "last_time": one.last}
                for host, one in self.refusers.hosts.items()
            ],
        }

    def opened(self, tunnel: Tunnel) -> None:
        self.tunnels.add(tunnel)

    def closed(self, tunnel: Tunnel) -> None:
        self.tunnels.discard(tunnel)
        self.metrics.count("tunnels_total", "broken" if tunnel.why else "ended")
        self.metrics.count("tunnel_bytes_total", "up", by=tunnel.up)
        self.metrics.count("tunnel_bytes_total", "down", by=tunnel.down)

    async def aclose(self) -> None:
        for tunnel in list(self.tunnels):
            tunnel.abort("the node is ending")
        for named in list(self.entering):
            named.abort()
        await self.dialing.aclose()
