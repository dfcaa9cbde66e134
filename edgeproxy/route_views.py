"""A router as the control plane sees it."""

from __future__ import annotations

from typing import Any

from edgeproxy.errors import RequestError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.route_map import RouteMap
from edgeproxy.router.choice import Candidate
from edgeproxy.router.client import parse
from edgeproxy.router.decide import decide
from edgeproxy.router.file_facts import FileFacts
from edgeproxy.router.nodes import RouteNode

FLOWS_MAX = 200


class LiveRouting:
    """Implements RoutingViews."""

    def __init__(self, route_map: RouteMap, metrics: Metrics, clock: Clock) -> None:
        self._map = route_map
        self._metrics = metrics
        self._clock = clock

    def routing_status(self) -> dict[str, Any]:
        snapshot, now = self._map.keeper.snapshot, self._clock()
        flows = self._metrics.counters["redirects_total"]
        sent: dict[str, int] = {}
        for (node, _), count in flows.items():
            sent[node] = sent.get(node, 0) + count
        most = sorted(flows.items(), key=lambda item: -item[1])[:FLOWS_MAX]
        return {
            "map": {
                "generation": snapshot.generation,
                "age_seconds": round(max(0.0, now - snapshot.made_at), 1),
                "is_old": now - snapshot.made_at > snapshot.rules.map_seconds,
            },
            "nodes": [_node(one, sent.get(one.name, 0)) for one in snapshot.nodes],
            "flows": [self._flow(node, country, count) for (node, country), count in most],
            "countries": self._countries(),
            "complaints": [
                {"node": node, "how": how, "count": count}
                for (node, how), count in self._metrics.counters["complaints_total"].items()
            ],
            "refusals": [
                {"node": one.name, "reason": one.state.value}
                for one in snapshot.nodes
                if not one.takes_clients
            ],
        }

    def _countries(self) -> list[tuple[float, float, float]]:
        """Latitude, longitude and radius (km) of all that are known."""
        known = self._map.atlas.countries
        places = [] if known is None else [place for place, _ in known.points.values()]
        return [(place.latitude, place.longitude, place.radius_km) for place in places]

    def _flow(self, node: str, country: str, count: int) -> dict[str, Any]:
        place = self._map.atlas.place_of(country)
        return {
            "node": node,
            "country": country,
            "count": count,
            "latitude": None if place is None else place.latitude,
            "longitude": None if place is None else place.longitude,
        }

    def routing_explain(self, ip: str, url: str) -> dict[str, Any]:
        address = parse(ip)
        if address is None:
            raise RequestError(400, f"{ip[:64]!r} is no IP address")
        keeper, now = self._map.keeper, self._clock()
        client = keeper.client(address)
        asked = FileFacts().asked(url.partition("?")[0]) if url else None
        decision = decide(client, asked, keeper.snapshot, now)
        where = client.whereabouts
        return {
            "client": {
                "prefix": client.prefix,
                "country": where.country,
                "asn": where.asn,
                "bgp_prefix": where.bgp_prefix,
                "latitude": None if where.place is None else where.place.latitude,
                "longitude": None if where.place is None else where.place.longitude,
                "radius_km": None if where.place is None else where.place.radius_km,
                "is_private": client.is_private,
            },
            "url": url,
            "decision": "origin" if decision.to_origin else decision.node.name if decision.node else "none",
            "reason": decision.reason,
            "candidates": [_candidate(one) for one in decision.ranked],
            "refused": [{"node": one.node, "reason": one.reason.value} for one in decision.refused],
            "map": {"generation": keeper.snapshot.generation, "is_old": decision.is_old},
        }


def _node(node: RouteNode, sent: int) -> dict[str, Any]:
    place = node.place
    return {
        "name": node.name,
        "url": node.url,
        "region": node.region,
        "state": node.state.value,
        "utilisation_ratio": round(node.utilisation, 3),
        "in_flight": node.in_flight,
        "sent": sent,
        "latitude": None if place is None else place.latitude,
        "longitude": None if place is None else place.longitude,
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    estimate = one.estimate
    return {
        "node": one.name,
        "rtt_ms": round(estimate.rtt, 1),
        "deviation_ms": round(estimate.deviation, 1),
        "distance_km": None if estimate.distance_km is None else round(estimate.distance_km),
        "source": estimate.source,
        "cost_ms": round(one.cost.total, 1),
        "cost": str(one.cost),
    }
