"""The forward proxy of a node, as its configuration has it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from edgeproxy.address import parse_address
from edgeproxy.config import Config, default_sites
from edgeproxy.config_proxy import Proxy
from edgeproxy.message import Clock, Handler, Request
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.proxy.forward import ForwardProxy
from edgeproxy.proxy.local_ca import LocalCa
from edgeproxy.proxy.loops import Loops
from edgeproxy.proxy.places import ca_directory
from edgeproxy.proxy.shared import HasSite, Settings, Shared
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.serving.listener import TRANSPARENT, Listeners
from edgeproxy.serving.negotiation import PROTOCOLS
from edgeproxy.serving.sockets import takes_any_address
from edgeproxy.sites.registry import SiteTable
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.resolver import Resolver


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


def build_proxy(
    config: Config,
    has_site: HasSite,
    listeners: Callable[[], Listeners | None],
    status: dict[str, Callable[[], Any]],
    tasks: Tasks,
    metrics: Metrics,
    clock: Clock,
    report: Callable[[str], None],
) -> ForwardProxy | None:
    """None where nobody may CONNECT. What is to be told of it is put into `status`."""
    proxy = config.proxy
    if proxy.connect == "off":
        return None
    ca = None
    if proxy.intercept == "auto":
        ca = LocalCa(ca_directory(config), list(PROTOCOLS), clock, report)
    resolver = Resolver(config.upstream)
    settings = Settings(_rules(proxy), proxy.idle_timeout, proxy.tunnels, proxy.connect == "sites")
    loops = Loops(lambda: _own_ports(config, listeners()))
    dialing = Dialing(resolver.resolve, proxy.connect_timeout, private=proxy.private_addresses, loops=loops)
    shared = Shared(
        settings,
        dialing,
        has_site,
        ca,
        tasks,
        metrics,
        clock,
        report,
        resolver.aclose,
        ports=lambda: _ports(listeners()),
    )
    status["proxy"] = lambda: {**shared.status(), "transparent": _transparent(listeners())}
    return ForwardProxy(shared)


def knowing(sites: Callable[[], SiteTable]) -> HasSite:
    """Of a process that has the sites itself."""

    async def has_site(scheme: str, host: str, port: int) -> bool:
        return sites().has_host(scheme, host, port)

    return has_site


def asking(handler: Callable[[], Handler]) -> HasSite:
    """Of a server, whose filler has them."""

    async def has_site(scheme: str, host: str, port: int) -> bool:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        response = await handler()(Request("CONNECT", authority, authority=authority, scheme=scheme))
        await response.body.aclose()
        return bool(response.status == 204)

    return has_site


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
