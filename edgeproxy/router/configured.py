"""What a configuration makes of the map: its nodes, its coverage, its rules. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from edgeproxy.config_router import Router, RouterNode, RouterTls
from edgeproxy.errors import ConfigurationError
from edgeproxy.router.announcement import AnnounceRules
from edgeproxy.router.arrivals import ALIVE_PATH
from edgeproxy.router.coverage import Coverage, Elsewhere, Entry, coverage
from edgeproxy.router.geo_files import GeoSettings
from edgeproxy.router.keeper import KeeperSettings
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.prober import ProbeSettings
from edgeproxy.router.registry import Listed
from edgeproxy.router.snapshot import RouteRules
from edgeproxy.router.tls_trust import NotTrusted, TlsTrust, TrustSettings
from edgeproxy.router.votes import VoteRules

PlaceOf = Callable[[str], Place | None]


def nodes(router: Router, place_of: PlaceOf) -> tuple[Listed, ...]:
    """`place_of` gives the point of a country."""
    # Who shares the secret answers for itself there; anything else may pass /healthz on to an origin.
    alive = ALIVE_PATH if router.secret or router.secret_file else ""
    return tuple(
        Listed(
            _node(node, place_of),
            node.probe or (f"{node.url.rstrip('/')}{alive}" if alive else ""),
            node.token,
        )
        for node in router.node
    )


def _node(node: RouterNode, place_of: PlaceOf) -> RouteNode:
    url = node.url.rstrip("/")
    place = place_of(node.country) if node.country else None
    if node.latitude is not None and node.longitude is not None:
        place = Place(node.latitude, node.longitude)
    return RouteNode(
        node.name,
        url=url,
        addresses=tuple(node.addresses),
        place=place,
        asn=node.asn,
        region=node.country or node.region,
        capacity=node.capacity,
        weight=node.weight,
        state=NodeState(node.state),
        countries=frozenset(node.countries),
        networks=tuple(ipaddress.ip_network(network) for network in node.networks),
        asns=frozenset(node.asns),
        fill_ms=node.fill * 1000,
        policy_ms=node.cost * 1000,
        scheme=urlsplit(url).scheme,
        zone_members=tuple(node.members),
    )


def coverage_of(router: Router) -> Coverage:
    """Raises ConfigurationError for what belongs to two entries."""
    try:
        return coverage(_entries(router), countries=router.countries, elsewhere=Elsewhere(router.elsewhere))
    except ValueError as error:
        raise ConfigurationError("router.coverage", str(error)) from None


def _entries(router: Router) -> Iterator[Entry]:
    for one in router.coverage:
        names = tuple(one.nodes)
        for network in one.networks:
            yield Entry(names, network=ipaddress.ip_network(network))
        for asn in one.asns:
            yield Entry(names, asn=asn)
        for country in one.countries:
            yield Entry(names, country=country)


def rules_of(router: Router) -> RouteRules:
    rules = router.rules
    return RouteRules(
        access_ms=rules.access * 1000,
        queue_ms=rules.queue * 1000,
        caution=rules.caution,
        affinity_budget_ms=rules.affinity * 1000,
        affinity_budget_large_ms=rules.affinity_large * 1000,
        full=rules.full,
        overfull=rules.overfull,
        explore_share=rules.explore,
        keep_ms=rules.keep * 1000,
        keep_seconds=rules.keep_for,
        slow_start_seconds=rules.slow_start,
        map_seconds=rules.map_age,
        ttl_least=router.dns.ttl_min,
        ttl_most=router.dns.ttl_max,
    )


def announce_rules(router: Router, token: str) -> AnnounceRules:
    signals = router.signals
    return AnnounceRules(
        token=token,
        urls=tuple(signals.announced),
        networks=tuple(ipaddress.ip_network(network) for network in signals.announced_networks),
        heartbeat_seconds=signals.interval,
        missed=signals.missed,
    )


def geo_settings(router: Router) -> GeoSettings:
    geo = router.geo

    def path(text: str) -> Path | None:
        return Path(text) if text else None

    return GeoSettings(
        city=path(geo.city),
        asn=path(geo.asn),
        routes=path(geo.routes),
        country_source=path(geo.country_source),
        look_seconds=max(1.0, geo.reload),
    )


def probe_settings(router: Router) -> ProbeSettings:
    health = router.health
    return ProbeSettings(
        every_seconds=health.interval,
        again_seconds=min(1.0, health.interval),
        timeout_seconds=health.timeout,
    )


def keeper_settings(router: Router) -> KeeperSettings:
    health = router.health
    votes = VoteRules(down_row=health.down, down_most=health.down_of_ten, up_row=health.up)
    return KeeperSettings(votes=votes)


def trust_of(router: Router, ca_file: str) -> TlsTrust:
    """`ca_file` holds the roots where the router's own options name none. Raises ConfigurationError for files
    that cannot be used."""
    tls = router.tls
    pins = tuple(pin.removeprefix("sha256//") for pin in tls.pins)
    for option in ("ca_file", "certificate", "key"):
        name = getattr(tls, option)
        if name and not Path(name).is_file():
            raise ConfigurationError(f"router.tls.{option}", f"{name}: no such file")
    trust = TlsTrust(TrustSettings(tls.verify_tls, tls.ca_file or ca_file, pins, tls.certificate, tls.key))
    if tls != RouterTls():
        try:
            trust.context()
        except NotTrusted as error:
            raise ConfigurationError("router.tls", str(error)) from None
    return trust


def tells_itself(router: Router) -> bool:
    """Whether this process is a node that has a map of its own to tell how it fares."""
    return router.enabled and bool(router.own)


def is_told_of(router: Router) -> bool:
    """Whether anybody is told how this node fares: routers, or its own map."""
    return bool(router.signals.routers) or tells_itself(router)


def tells_round_trips(router: Router) -> bool:
    """Whether connections of clients are to be measured, in whichever process of this node they are."""
    return is_told_of(router) and router.signals.round_trips
