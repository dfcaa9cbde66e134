"""What everybody's round trips say about a way that nobody has measured.

ln(rtt / prior) of a way is taken for a sum: what all ways have in common (access, the detours of fibre), what is
peculiar to the node (its carriers), what is peculiar to the region of the client, and what is peculiar to the
two together. Common and node are fitted by turns with a shift of each cell (backfitting); what is left for a
region and for the way is averaged over the nearest cells, which count the more the nearer they are. Each of the
sums is drawn towards nothing by a strength, in cells: little data says little (shrinkage)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from edgeproxy.router.place import EARTH_RADIUS_KM, Place

NEIGHBOUR_KM = 1500.0  # a neighbour so far away counts for a third
NEAREST = 24  # cells asked for an estimate
NEIGHBOURS_LEAST = 0.3  # less than that is no neighbourhood
COMMON_STRENGTH, NODE_STRENGTH, REGION_STRENGTH, WAY_STRENGTH = 4.0, 2.0, 2.0, 0.7
SWEEPS = 3
CELLS_MAX = 2048
PLACES_MAX = 4096

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Told:
    """The mean of ln(rtt / prior) between clients of one cell and a node; `weight` in (0, 1): however much was
    observed, a cell is one neighbour."""

    cell: Hashable
    place: Place
    node: str
    mean: float
    weight: float


@dataclass(frozen=True, slots=True)
class Afar:
    """What is expected of ln(rtt / prior); `is_near`: the node is known to neighbours of the client."""

    mean: float
    is_near: bool


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Never changed but for a memo of what was asked. `regions` and `ways` are, by number of the cell, a sum of
    weighted values and the sum of the weights."""

    common: float = 0.0
    nodes: Mapping[str, float] = field(default_factory=dict)
    cells: tuple[Vector, ...] = ()
    regions: tuple[tuple[float, float], ...] = ()
    ways: Mapping[str, Mapping[int, tuple[float, float]]] = field(default_factory=dict)
    _asked: dict[Place, _Around] = field(default_factory=dict, compare=False, repr=False)

    def afar(self, client: Place, node: str) -> Afar:
        around = self._asked.get(client)
        if around is None:
            around = self._around(client)
            if len(self._asked) >= PLACES_MAX:
                self._asked.clear()
            self._asked[client] = around
        found = around.nodes.get(node)
        if found is None:
            found = around.nodes[node] = self._way(around, node)
        return found

    def _around(self, client: Place) -> _Around:
        near = _nearest(_vector(client), self.cells)
        total = weights = 0.0
        for number, nearness in near:
            value, weight = self.regions[number]
            total += nearness * value
            weights += nearness * weight
        return _Around(near, total / (weights + REGION_STRENGTH), {})

    def _way(self, around: _Around, node: str) -> Afar:
        total = weights = 0.0
        cells = self.ways.get(node, {})
        for number, nearness in around.cells if cells else ():
            if number in cells:
                value, weight = cells[number]
                total += nearness * value
                weights += nearness * weight
        mean = self.common + self.nodes.get(node, 0.0) + around.region + total / (weights + WAY_STRENGTH)
        return Afar(mean, weights > NEIGHBOURS_LEAST)


@dataclass(frozen=True, slots=True)
class _Around:
    """The nearest cells of a place with their nearness, what is peculiar to its region, and answers given."""

    cells: list[tuple[int, float]]
    region: float
    nodes: dict[str, Afar]


def fitted(told: Iterable[Told]) -> Neighbours:
    numbers: dict[Hashable, int] = {}
    places: list[Vector] = []
    kept: list[tuple[int, str, float, float]] = []
    for one in told:
        number = numbers.get(one.cell)
        if number is None:
            if len(places) >= CELLS_MAX:
                continue
            number = numbers[one.cell] = len(places)
            places.append(_vector(one.place))
        kept.append((number, one.node, one.mean, one.weight))
    if not kept:
        return Neighbours()
    common = sum(mean * weight for *_, mean, weight in kept)
    common /= sum(weight for *_, weight in kept) + COMMON_STRENGTH
    nodes, shifts = _effects(kept, common, len(places))
    regions = [(0.0, 0.0)] * len(places)
    ways: dict[str, dict[int, tuple[float, float]]] = {}
    for number, node, mean, weight in kept:
        rest = mean - common - nodes[node]
        value, weights = regions[number]
        regions[number] = value + weight * rest, weights + weight
        ways.setdefault(node, {})[number] = weight * (rest - shifts[number]), weight
    return Neighbours(common, nodes, tuple(places), tuple(regions), ways)


def _effects(
    kept: list[tuple[int, str, float, float]], common: float, cells: int
) -> tuple[dict[str, float], list[float]]:
    """What is peculiar to each node and to each cell, by turns."""
    nodes: dict[str, float] = {}
    shifts = [0.0] * cells
    for _ in range(SWEEPS):
        sums: dict[str, tuple[float, float]] = {}
        for number, node, mean, weight in kept:
            total, weights = sums.get(node, (0.0, 0.0))
            sums[node] = total + weight * (mean - common - shifts[number]), weights + weight
        nodes = {node: total / (weights + NODE_STRENGTH) for node, (total, weights) in sums.items()}
        totals, counts = [0.0] * cells, [REGION_STRENGTH] * cells
        for number, node, mean, weight in kept:
            totals[number] += weight * (mean - common - nodes[node])
            counts[number] += weight
        shifts = [total / count for total, count in zip(totals, counts, strict=True)]
    return nodes, shifts


def _vector(place: Place) -> Vector:
    """The point on a sphere of radius 1: nearness is then a product, which is cheap."""
    latitude, longitude = math.radians(place.latitude), math.radians(place.longitude)
    across = math.cos(latitude)
    return across * math.cos(longitude), across * math.sin(longitude), math.sin(latitude)


def _nearest(point: Vector, cells: tuple[Vector, ...]) -> list[tuple[int, float]]:
    x, y, z = point
    products = ((x * a + y * b + z * c, number) for number, (a, b, c) in enumerate(cells))
    return [
        (number, math.exp(-EARTH_RADIUS_KM * math.acos(max(-1.0, min(1.0, product))) / NEIGHBOUR_KM))
        for product, number in heapq.nlargest(NEAREST, products)
    ]
