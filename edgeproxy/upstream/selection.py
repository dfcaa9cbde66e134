"""Who is asked, in which order, and why the others are not: a pure function of what is known.

    the sibling that owns the key -> parents by preference, health, speed -> origin -> whom to avoid

Among parents of one preference that are about as fast as the fastest (within a factor of two), the key
decides, in proportion to their weights: each caches a part, and a small difference in speed does not move
everything. The slower ones follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeproxy.upstream.candidate import ORIGIN, Candidate, Role
from edgeproxy.upstream.candidate_health import Health, admits, error_share
from edgeproxy.upstream.rendezvous import owner, ranked

ALIKE = 2.0
_COPIED = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate, how it is, and how many exchanges with it are under way."""

    candidate: Candidate
    health: Health = Health()
    in_use: int = 0

    @property
    def name(self) -> str:
        return self.candidate.name


@dataclass(frozen=True, slots=True)
class Asked:
    """What selection needs to know of a request. `draw` in [0, 1) is drawn for it. `is_moved`: a redirect
    led away from the origin it was for. `by_sibling`: a node beside us asks, so that we are the owner."""

    site: str = ""
    key: str = ""
    method: str = "GET"
    is_bulk: bool = False
    is_moved: bool = False
    has_credentials: bool = False
    by_sibling: bool = False
    avoid: frozenset[str] = frozenset()
    draw: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Candidates in the order in which to ask them, and those not to be asked."""

    order: tuple[Candidate, ...]
    refused: tuple[Refused, ...] = ()


def select(
    standings: Sequence[Standing], asked: Asked, now: float, *, own: str = "", no_origin: str = ""
) -> Selection:
    """`own` is this node's name among the siblings, `no_origin` says why the origin may not be asked."""
    refused: list[Refused] = []
    parents: list[Standing] = []
    siblings: list[Standing] = []
    for standing in standings:
        why = _refusal(standing.candidate, asked, has_origin=not no_origin)
        if why:
            refused.append(Refused(standing.name, why))
        elif standing.candidate.role is Role.SIBLING:
            siblings.append(standing)
        else:
            parents.append(standing)
    owning = _owning(siblings, asked, own, refused)
    order = [*owning, *_ordered([one for one in parents if not one.health.is_ejected], asked, now)]
    if no_origin:
        refused.append(Refused(ORIGIN.name, no_origin))
    ejected = [one for one in parents if one.health.is_ejected]
    if not order and no_origin:  # better the least bad than nobody
        order = sorted((one for one in ejected if not one.health.is_dead), key=_badness)
        ejected = [one for one in ejected if one.health.is_dead]
    refused += [Refused(one.name, f"ejected: {one.health.why}") for one in ejected]
    chosen = [one.candidate for one in order]
    if not no_origin:
        chosen.append(ORIGIN)
    chosen.sort(key=lambda candidate: candidate.name in asked.avoid)
    return Selection(tuple(chosen), tuple(refused))


def _refusal(candidate: Candidate, asked: Asked, *, has_origin: bool) -> str:
    if not candidate.serves(asked.site):
        return "not for this site"
    if candidate.is_mirror and asked.method not in _COPIED:
        return f"a mirror is not asked to {asked.method}"
    if candidate.is_mirror and asked.has_credentials:
        return "credentials are for the origin, not for a mirror"
    if asked.is_moved and has_origin:
        return "the origin redirected elsewhere"
    return ""


def _owning(siblings: list[Standing], asked: Asked, own: str, refused: list[Refused]) -> list[Standing]:
    """The sibling that owns the key, unless that is this node."""
    if not siblings:
        return []
    alive = {one.name: one for one in siblings if not one.health.is_ejected and one.name not in asked.avoid}
    weights = {name: one.candidate.weight for name, one in alive.items()} | {own: 1.0}
    loads = {name: one.in_use for name, one in alive.items()}
    owns = own if asked.by_sibling else owner(asked.key, weights, loads)
    for one in siblings:
        if one.name != owns:
            ejected = f"ejected: {one.health.why}"
            refused.append(Refused(one.name, ejected if one.health.is_ejected else "another node owns it"))
    return [alive[owns]] if owns is not None and owns in alive else []


def _ordered(standings: Iterable[Standing], asked: Asked, now: float) -> list[Standing]:
    """By preference, then those that take their full part, then by speed and weight."""
    groups: dict[tuple[int, bool], list[Standing]] = {}
    for one in standings:
        place = (one.candidate.preference, not admits(one.health, now, asked.draw))
        groups.setdefault(place, []).append(one)
    order: list[Standing] = []
    for place in sorted(groups):
        order += _by_speed(groups[place], asked)
    return order


def _by_speed(standings: list[Standing], asked: Asked) -> list[Standing]:
    if len(standings) == 1:
        return standings
    speeds = {one.name: _speed(one.health, is_bulk=asked.is_bulk) for one in standings}
    known = [speed for speed in speeds.values() if speed is not None]
    best = max(known, default=0.0)
    by_name = {one.name: one for one in standings}
    fast = {n: by_name[n].candidate.weight for n, speed in speeds.items() if (speed or best) * ALIKE >= best}
    rest = [one for one in standings if one.name not in fast]
    rest.sort(key=lambda one: (speeds[one.name] or 0.0) * one.candidate.weight, reverse=True)
    return [*(by_name[name] for name in ranked(asked.key, fast)), *rest]


def _speed(health: Health, *, is_bulk: bool) -> float | None:
    """Bytes a second for bulk, answers a second for the rest; None while nothing is known."""
    if is_bulk:
        return health.goodput
    return None if health.latency is None else 1 / max(health.latency, 1e-4)


def _badness(standing: Standing) -> tuple[int, float]:
    return standing.candidate.preference, error_share(standing.health)
