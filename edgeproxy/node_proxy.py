"""The forward proxy of a node, as its configuration has it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

from edgeproxy.config import Config
from edgeproxy.config_proxy import Proxy
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.proxy.forward import ForwardProxy, Settings
from edgeproxy.serving.negotiation import PROTOCOLS
from edgeproxy.sites.registry import SiteTable
from edgeproxy.storage.directory import directory_path
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


def ca_directory(config: Config) -> Path:
    """Where the local CA of a node with this configuration is."""
    if config.proxy.ca:
        return Path(config.proxy.ca).expanduser()
    return directory_path(config.cache.directory) / "ca"


def build_proxy(
    config: Config,
    sites: Callable[[], SiteTable],
    tasks: Tasks,
    metrics: Metrics,
    clock: Clock,
    report: Callable[[str], None],
) -> ForwardProxy | None:
    """None where nobody may CONNECT. Reads the CA, if there is one. Raises ConfigurationError."""
    proxy = config.proxy
    if proxy.connect == "off":
        return None
    leaves = None
    if proxy.intercept == "auto" and (ca_directory(config) / "ca.pem").exists():
        # What makes certificates takes megabytes: only nodes with a CA have it.
        from edgeproxy.proxy.authority import load
        from edgeproxy.proxy.leaves import Leaves

        authority = load(ca_directory(config))
        if authority is not None:
            leaves = Leaves(authority, lambda context: context.set_alpn_protocols(list(PROTOCOLS)))
    resolver = Resolver(config.upstream)
    return ForwardProxy(
        Settings(_rules(proxy), proxy.idle_timeout, proxy.tunnels, only_sites=proxy.connect == "sites"),
        Dialing(resolver.resolve, proxy.connect_timeout, private=proxy.private_addresses),
        has_site=lambda host, port: sites().has_host(host, port),
        leaves=leaves,
        tasks=tasks,
        metrics=metrics,
        clock=clock,
        report=report,
        closing=resolver.aclose,
    )
