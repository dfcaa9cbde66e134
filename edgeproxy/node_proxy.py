"""The forward proxy of a node, as its configuration has it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from edgeproxy.address import Address, parse_address
from edgeproxy.config import Config, default_sites
from edgeproxy.config_proxy import Proxy
from edgeproxy.message import Clock, Handler, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.proxy.forward import ForwardProxy
from edgeproxy.proxy.local_ca import LocalCa
from edgeproxy.proxy.loops import Loops
from edgeproxy.proxy.places import ca_directory
from edgeproxy.proxy.refusers import Refusers
from edgeproxy.proxy.shared import Settings, Shared
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.serving.listener import TRANSPARENT, Listeners
from edgeproxy.serving.negotiation import PROTOCOLS
from edgeproxy.serving.sockets import takes_any_address
from edgeproxy.sites.registry import SiteTable
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.assembly import egress_of
from edgeproxy.upstream.reach_text import REACH_FIELD, decode_reach
from edgeproxy.upstream.resolver import Resolver
from edgeproxy.upstream.upstream import Origin, Reach

RESOLVING_SECONDS_MAX = 60.0


def rules_of(proxy: Proxy) -> Rules | None:
    """Who may go where to hosts no site knows; None: nobody."""
    return None if proxy.connect != "all" else _rules(proxy)


def _rules(proxy: Proxy) -> Rules:
    return Rules(
        clients=tuple(ipaddress.ip_network(text, strict=False) for text in proxy.clients),
        ports=frozenset(proxy.ports),
        hosts=tuple(proxy.hosts),
        refused_hosts=tuple(proxy.refused_hosts),
        users=tuple(proxy.users),
        tokens=tuple(proxy.tokens),
    )


def welcome_of(config: Config) -> Welcome:
    sites = config.site or default_sites()
    return Welcome(
        {site.kind: site.mount.rstrip("/") for site in reversed(sites)},
        ca_directory(config) / "ca.pem" if config.proxy.intercept == "auto" else None,
        is_proxy=config.proxy.connect != "off",
    )


class NodeProxy:
    """The forward proxy of a process, which takes over other configurations while it runs. What is open
    goes on under the rules it began with. `refusers` are those of all processes of the node. `status` is
    for people."""

    def __init__(
        self,
        config: Config,
        knows: Knows,
        listeners: Callable[[], Listeners | None],
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
        refusers: Refusers | None = None,
    ) -> None:
        self._config = config
        self._listeners = listeners
        self._tasks = tasks
        self._clock = clock
        self._report = report
        self._resolver = Resolver(config.upstream)
        self._loops = Loops(lambda: _own_ports(self._config, listeners()))
        shared = Shared(
            _settings(config.proxy),
            self._dialing(config),
            knows.has_site,
            knows.has_site_at_hand,
            knows.reach_of,
            self._ca(config),
            tasks,
            metrics,
            clock,
            report,
            refusers or Refusers(),
            ports=lambda: _ports(listeners()),
        )
        self.connects = ForwardProxy(shared, config.node.name or "edgeproxy")

    def reconfigure(self, config: Config) -> None:
        """Hold to another configuration from now on."""
        before, self._config = self._config, config
        if (before.proxy, before.upstream) == (config.proxy, config.upstream):
            return
        shared = self.connects.shared
        if before.upstream != config.upstream:
            former, self._resolver = self._resolver, Resolver(config.upstream)
            self._tasks.start(_closed_later(former, before.proxy.connect_timeout), "close a resolver")
        shared.settings = _settings(config.proxy)
        shared.dialing = replace(self._dialing(config), tasks=shared.dialing.tasks)
        if (_has_ca(before), ca_directory(before)) != (_has_ca(config), ca_directory(config)):
            shared.ca = self._ca(config)

    def status(self) -> dict[str, Any]:
        return {**self.connects.shared.status(), "transparent": _transparent(self._listeners())}

    async def aclose(self) -> None:
        await self.connects.aclose()
        await self._resolver.aclose()

    def _dialing(self, config: Config) -> Dialing:
        return Dialing(
            self._resolver.resolve,
            config.proxy.connect_timeout,
            private=config.proxy.private_addresses,
            loops=self._loops,
            egress=egress_of(config),
        )

    def _ca(self, config: Config) -> LocalCa | None:
        if not _has_ca(config):
            return None
        return LocalCa(ca_directory(config), list(PROTOCOLS), self._clock, self._report)


def merged_status(told: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """What several processes say, as one: tunnels together, a host whose certificate is refused once."""
    all_of_them = [status for statuses in told for status in statuses]
    refused: dict[str, dict[str, Any]] = {}
    for status in all_of_them:
        for one in status.get("refused_certificates", []):
            known = refused.get(one["host"], {"times": 0, "last_time": 0.0})
            newest = one if one["last_time"] >= known["last_time"] else known
            refused[one["host"]] = {**newest, "times": known["times"] + one["times"]}
    return {
        "tunnels": sum(status.get("tunnels", 0) for status in all_of_them),
        "refused_certificates": list(refused.values()),
        "transparent": next((status["transparent"] for status in all_of_them if "transparent" in status), []),
    }


def _settings(proxy: Proxy) -> Settings:
    return Settings(
        _rules(proxy),
        proxy.idle_timeout,
        proxy.tunnels,
        only_sites=proxy.connect == "sites",
        is_off=proxy.connect == "off",
        web_sockets=proxy.web_sockets,
    )


def _has_ca(config: Config) -> bool:
    return config.proxy.intercept == "auto"


async def _closed_later(resolver: Resolver, seconds: float) -> None:
    """When nobody can be waiting for it any more."""
    await asyncio.sleep(seconds or RESOLVING_SECONDS_MAX)
    await resolver.aclose()


class Knows(Protocol):
    """What sites know of hosts."""

    async def has_site(self, scheme: str, host: str, port: int) -> bool: ...

    def has_site_at_hand(self, scheme: str, host: str, port: int) -> bool:
        """False also where somebody else has to be asked."""
        ...

    async def reach_of(self, scheme: str, host: str, port: int) -> Reach | None: ...


@dataclass(frozen=True, slots=True)
class Knowing:
    """Of a process that has the sites itself."""

    sites: Callable[[], SiteTable]

    async def has_site(self, scheme: str, host: str, port: int) -> bool:
        return self.sites().has_host(scheme, host, port)

    def has_site_at_hand(self, scheme: str, host: str, port: int) -> bool:
        return self.sites().has_host(scheme, host, port)

    async def reach_of(self, scheme: str, host: str, port: int) -> Reach | None:
        return self.sites().reach_of(Origin(scheme, host, port))


@dataclass(frozen=True, slots=True)
class Asking:
    """Of a server, whose filler has them."""

    handler: Callable[[], Handler]

    def has_site_at_hand(self, scheme: str, host: str, port: int) -> bool:
        return False

    async def has_site(self, scheme: str, host: str, port: int) -> bool:
        return (await self._ask(scheme, host, port)).status == 204

    async def reach_of(self, scheme: str, host: str, port: int) -> Reach | None:
        said = (await self._ask(scheme, host, port)).headers.get(REACH_FIELD)
        return decode_reach(said) if said else None

    async def _ask(self, scheme: str, host: str, port: int) -> Response:
        authority = str(Address(host, port))
        response: Response = await self.handler()(
            Request("CONNECT", authority, authority=authority, scheme=scheme)
        )
        await response.body.aclose()
        return response


def _own_ports(config: Config, listeners: Listeners | None) -> frozenset[int]:
    """Where this node listens for whomever."""
    bound = listeners.listening if listeners is not None else []
    found = {each.getsockname()[1] for one in bound for each in one.sockets if each.family != socket.AF_UNIX}
    admin = parse_address(config.admin.listen).port if config.admin.listen else 0
    return frozenset({*found, *filter(None, [admin])})


def _transparent(listeners: Listeners | None) -> list[dict[str, Any]]:
    """Where firewalls turn connections to, and whether those that are left as they were may come (TPROXY)."""
    bound = listeners.listening if listeners is not None else []
    return [
        {"address": one.name, "tproxy": all(takes_any_address(each) for each in one.sockets)}
        for one in bound
        if one.kind == TRANSPARENT
    ]


def _ports(listeners: Listeners | None) -> frozenset[int]:
    """Where firewalls turn connections to, as the kernel chose it."""
    return frozenset(
        each.getsockname()[1]
        for one in (listeners.listening if listeners is not None else ())
        if one.kind == TRANSPARENT
        for each in one.sockets
    )
