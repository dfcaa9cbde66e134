"""A router as the control plane sees it."""

from __future__ import annotations

from typing import Any

from edgeproxy.errors import RequestError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.route_map import RouteMap
from edgeproxy.router.client import parse
from edgeproxy.router.decide import Asking
from edgeproxy.router.explanation import explanation
from edgeproxy.router.file_facts import FileFacts
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.shadow import Shadow

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
            "shadow": [_shadow(one) for one in self._map.shadows],
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
        known = self._map.countries
        places = [] if known is None else [place for place, _ in known.points.values()]
        return [(place.latitude, place.longitude, place.radius_km) for place in places]

    def _flow(self, node: str, country: str, count: int) -> dict[str, Any]:
        place = self._map.place_of(country)
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
        asking = Asking(excluded=keeper.excluded(client))
        return {"url": url, **explanation(client, asked, keeper.snapshot, now, asking)}


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


def _shadow(shadow: Shadow) -> dict[str, Any]:
    found = shadow.comparison
    return {
        "policy": shadow.name,
        "decisions": found.decisions,
        "different": found.different,
        "live_mean_ms": round(found.live_mean_ms, 2),
        "shadow_mean_ms": round(found.shadow_mean_ms, 2),
    }
