"""What everybody's round trips say about a way that nobody has measured.

ln(rtt / prior) of a way is taken for a sum: what all ways have in common (access, the detours of fibre), what
is peculiar to the node (its carriers), what is peculiar to the region of the client, and what is peculiar to
the two together. Common and node are fitted by turns with a shift of each cell (backfitting); what is left
for a region and for the way is averaged over the nearest cells, which count the more the nearer they are.
Each of the sums is drawn towards nothing by a strength, in cells: little data says little (shrinkage)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from edgeproxy.router.place import EARTH_RADIUS_KM, Place

NEIGHBOUR_KM = 1500.0  # a neighbour so far away counts for a third
NEAREST = 16  # cells asked for an estimate ...
FAR_COSINE = math.cos(4500.0 / EARTH_RADIUS_KM)  # ... and none that is farther away
NEIGHBOURS_LEAST = 0.3  # less than that is no neighbourhood
COMMON_STRENGTH, NODE_STRENGTH, REGION_STRENGTH, WAY_STRENGTH = 4.0, 2.0, 2.0, 0.7
VALUE_MOST = 1.5  # what is off by more than four times says something of itself, or of a client misplaced
SWEEPS = 2
CELLS_MAX = 2048
PLACES_MAX = 4096
SPOT_DEGREES = 2.0

Vector = tuple[float, float, float]
Near = list[tuple[int, float]]
Spot = tuple[int, int]
"""A place in steps of two degrees: within two hundred kilometres neighbours are the same."""


class Told(NamedTuple):
    """The mean of ln(rtt / prior) between clients of one cell and a node; `weight` in (0, 1): however much
    was observed, a cell is one neighbour."""

    cell: Hashable
    place: Place
    node: str
    mean: float
    weight: float


class Afar(NamedTuple):
    """What is expected of ln(rtt / prior); `is_near`: the node is known to neighbours of the client."""

    mean: float
    is_near: bool


@dataclass(frozen=True, slots=True)
class Around:
    """What is expected from one place: of the nodes that anybody knows, and of any other."""

    nodes: Mapping[str, Afar]
    other: Afar

    def of(self, node: str) -> Afar:
        return self.nodes.get(node, self.other)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Never changed but for memos of what was asked. `regions` and `ways` are, by number of the cell, sums of
    weighted values and the sums of the weights; those of `ways` are by the place of their node in `nodes`."""

    common: float = 0.0
    nodes: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[Hashable, int] = field(default_factory=dict)
    cells: tuple[Vector, ...] = ()
    regions: tuple[tuple[float, float], ...] = ()
    ways: tuple[tuple[tuple[int, float, float], ...], ...] = ()
    _near: dict[Spot, tuple[int, Near]] = field(default_factory=dict, compare=False, repr=False)
    _asked: dict[Spot, Around] = field(default_factory=dict, compare=False, repr=False)

    def afar(self, client: Place, node: str) -> Afar:
        return self.around(client).of(node)

    def around(self, client: Place) -> Around:
        spot = round(client.latitude / SPOT_DEGREES), round(client.longitude / SPOT_DEGREES)
        found = self._asked.get(spot)
        if found is None:
            found = self._around(spot)
            if len(self._asked) >= PLACES_MAX:
                self._asked.clear()
            self._asked[spot] = found
        return found

    def _around(self, spot: Spot) -> Around:
        total = weights = 0.0
        sums, counts = [0.0] * len(self.nodes), [WAY_STRENGTH] * len(self.nodes)
        for number, nearness in self._nearest(spot):
            value, weight = self.regions[number]
            total += nearness * value
            weights += nearness * weight
            for node, value, weight in self.ways[number]:
                sums[node] += nearness * value
                counts[node] += nearness * weight
        region = self.common + total / (weights + REGION_STRENGTH)
        least = WAY_STRENGTH + NEIGHBOURS_LEAST
        known = {
            name: Afar(region + peculiar + value / count, count > least)
            for (name, peculiar), value, count in zip(self.nodes.items(), sums, counts, strict=True)
        }
        return Around(known, Afar(region, False))

    def _nearest(self, spot: Spot) -> list[tuple[int, float]]:
        """Cells keep their numbers from one map to the next, so only those that are new are looked at."""
        seen, near = self._near.get(spot, (0, []))
        if seen == len(self.cells):
            return near
        point = _vector(spot[0] * SPOT_DEGREES, spot[1] * SPOT_DEGREES)
        if seen > len(self.cells):  # a later map has been asked already
            return _nearest(point, self.cells, 0, [])
        near = _nearest(point, self.cells, seen, near)
        if len(self._near) >= PLACES_MAX:
            self._near.clear()
        self._near[spot] = len(self.cells), near
        return near


def fitted(told: Iterable[Told], former: Neighbours | None = None) -> Neighbours:
    """Cells have the numbers of the `former` ones, so that who is near whom is not asked anew each time."""
    numbers = {} if former is None else dict(former.numbers)
    places: list[Vector] = [] if former is None else list(former.cells)
    kept: list[tuple[int, str, float, float]] = []
    for cell, place, node, mean, weight in told:
        number = numbers.get(cell)
        if number is None:
            if len(places) >= CELLS_MAX:
                continue
            number = numbers[cell] = len(places)
            places.append(_vector(place.latitude, place.longitude))
        kept.append((number, node, max(-VALUE_MOST, min(VALUE_MOST, mean)), weight))
    if not kept:
        return Neighbours()
    common = sum(mean * weight for _, _, mean, weight in kept)
    common /= sum(weight for _, _, _, weight in kept) + COMMON_STRENGTH
    nodes, shifts = _effects(kept, common, len(places))
    regions = [(0.0, 0.0)] * len(places)
    ways: list[list[tuple[int, float, float]]] = [[] for _ in places]
    order = {node: place for place, node in enumerate(nodes)}
    for number, node, mean, weight in kept:
        rest = mean - common - nodes[node]
        value, weights = regions[number]
        regions[number] = value + weight * rest, weights + weight
        ways[number].append((order[node], weight * (rest - shifts[number]), weight))
    made = Neighbours(common, nodes, numbers, tuple(places), tuple(regions), tuple(map(tuple, ways)))
    if former is not None:
        return replace(made, _near=former._near)
    return made


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


def _vector(north: float, east: float) -> Vector:
    """The point on a sphere of radius 1: nearness is then a product, which is cheap."""
    latitude, longitude = math.radians(north), math.radians(east)
    across = math.cos(latitude)
    return across * math.cos(longitude), across * math.sin(longitude), math.sin(latitude)


def _nearest(point: Vector, cells: tuple[Vector, ...], seen: int, near: Near) -> Near:
    """Numbers of cells and their nearness; `near` is what it is for the first `seen` of them."""
    x, y, z = point
    numbers = [*(number for number, _ in near), *range(seen, len(cells))]
    products = []
    for number in numbers:
        a, b, c = cells[number]
        product = x * a + y * b + z * c
        if product > FAR_COSINE:
            products.append((product, number))
    return [
        (number, math.exp(-EARTH_RADIUS_KM * math.acos(max(-1.0, min(1.0, product))) / NEIGHBOUR_KM))
        for product, number in heapq.nlargest(NEAREST, products)
    ]
