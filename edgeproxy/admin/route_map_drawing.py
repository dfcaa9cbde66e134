"""A map of the world as SVG: nodes, whom they serve, and a graticule. Nothing is loaded from anywhere.

Longitude goes right and latitude up, a degree a unit (plate carree). In place of land there are the
countries, each a disc about as wide as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WEST, NORTH, WIDTH, HEIGHT = -180.0, 84.0, 360.0, 144.0
KM_PER_DEGREE = 111.0
DISC_MOST = 13.0
LABEL_WIDTH, LABEL_HEIGHT = 6.2, 11.0  # of a sign at a phone's width, where labels are largest


@dataclass(frozen=True, slots=True)
class Spot:
    """Degrees, as units of the drawing."""

    x: float
    y: float

    @classmethod
    def of(cls, told: dict[str, Any]) -> Spot | None:
        latitude, longitude = told.get("latitude"), told.get("longitude")
        if latitude is None or longitude is None:
            return None
        return cls(float(longitude), -float(latitude))


def world(nodes: Sequence[dict[str, Any]], flows: Iterable[dict[str, Any]], countries: Iterable[Any]) -> str:
    """`nodes` and `flows` are those of RoutingViews, `countries` latitude, longitude and radius (km)."""
    places = {node["name"]: spot for node in nodes if (spot := Spot.of(node)) is not None}
    parts = [
        f'<svg class="world" viewBox="{WEST:g} {-NORTH:g} {WIDTH:g} {HEIGHT:g}" role="img" '
        'aria-label="Nodes of the map, and where their clients are">',
        '<rect class="sea" x="-180" y="-84" width="360" height="144"/>',
        _graticule(),
        '<g class="land">',
        *(_disc(*country) for country in countries),
        "</g><g class='flows'>",
        *_flows(flows, places),
        "</g>",
        *_nodes(nodes, places),
        "</svg>",
    ]
    return "".join(parts)


def _graticule() -> str:
    lines = [f"M{x} -84V60" for x in range(-150, 180, 30)] + [f"M-180 {y}H180" for y in range(-60, 60, 30)]
    return f'<path class="grid" d="{"".join(lines)}"/><path class="grid equator" d="M-180 0H180"/>'


def _disc(latitude: float, longitude: float, radius_km: float) -> str:
    radius = min(max(radius_km / KM_PER_DEGREE * 0.62, 0.9), DISC_MOST)
    return f'<circle cx="{longitude:.1f}" cy="{-latitude:.1f}" r="{radius:.1f}"/>'


def _flows(flows: Iterable[dict[str, Any]], places: dict[str, Spot]) -> Iterable[str]:
    """From the country to the node, bent upwards; the wider the more clients."""
    for flow in flows:
        start, end = Spot.of(flow), places.get(flow["node"])
        if start is None or end is None:
            continue
        across = abs(end.x - start.x)
        bend = Spot((start.x + end.x) / 2, min(start.y, end.y) - across * 0.22 - 2)
        width = 0.5 + min(2.2, math.log10(max(1, flow["count"])) * 0.5)
        title = f"{flow['country'] or 'unknown country'} to {flow['node']}: {flow['count']}"
        way = f"M{start.x:.1f} {start.y:.1f}Q{bend.x:.1f} {max(bend.y, -82):.1f} {end.x:.1f} {end.y:.1f}"
        yield (f'<path d="{way}" stroke-width="{width:.2f}"><title>{escape(title)}</title></path>')


def _nodes(nodes: Sequence[dict[str, Any]], places: dict[str, Spot]) -> Iterable[str]:
    taken: list[tuple[float, float, float, float]] = []
    for node in nodes:
        spot = places.get(node["name"])
        if spot is None:
            continue
        used = min(1.0, max(0.0, float(node["utilisation_ratio"])))
        label, x, y, anchor = escape(node["name"]), *_label(node["name"], spot, taken)
        title = f"{node['name']}: {node['state']}, load {used:.0%}, sent {node['sent']}"
        yield (
            f'<g class="node {escape(node["state"])}"><title>{escape(title)}</title>'
            f'<circle class="ring" cx="{spot.x:.1f}" cy="{spot.y:.1f}" r="4.2"/>'
            f'<circle class="load" cx="{spot.x:.1f}" cy="{spot.y:.1f}" r="4.2" pathLength="100" '
            f'stroke-dasharray="{used * 100:.0f} 100" transform="rotate(-90 {spot.x:.1f} {spot.y:.1f})"/>'
            f'<circle class="dot" cx="{spot.x:.1f}" cy="{spot.y:.1f}" r="2.4"/>'
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{label}</text></g>'
        )


def _label(name: str, spot: Spot, taken: list[tuple[float, float, float, float]]) -> tuple[float, float, str]:
    """Where the name of a node stands: where no other name does, inside the map."""
    width = LABEL_WIDTH * len(name)
    tries = [
        (spot.x + 6, spot.y + 3.2, "start"),
        (spot.x - 6, spot.y + 3.2, "end"),
        (spot.x, spot.y - 6.5, "middle"),
        (spot.x, spot.y + 13.5, "middle"),
        (spot.x + 4, spot.y - 10, "start"),
        (spot.x - 4, spot.y + 18, "end"),
    ]
    for x, y, anchor in tries:
        left = x - (width if anchor == "end" else width / 2 if anchor == "middle" else 0.0)
        box = (left, y - LABEL_HEIGHT, left + width, y + 2)
        inside = left >= WEST and left + width <= WEST + WIDTH and y - LABEL_HEIGHT >= -NORTH
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return x, y, anchor
    return tries[0]


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
