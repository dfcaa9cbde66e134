"""Now and then a client is sent where more may be learned, never where physics forbids a gain."""

from __future__ import annotations

from edgeproxy.router.choice import Candidate, Choice
from edgeproxy.router.place import light_ms
from edgeproxy.router.snapshot import RouteObject, RouteRules


def explored(choice: Choice, asked: RouteObject | None, rules: RouteRules, chance: float) -> Choice:
    """`chance` in [0, 1) is drawn by the caller. Never for DNS, nor for what is large and private."""
    if asked is None or (asked.is_large and asked.is_private) or chance >= rules.explore_share:
        return choice
    best = choice.ranked[0]
    promising = [one for one in choice.ranked[1:] if _is_promising(one, best, rules)]
    if not promising:
        return choice
    first = min(promising, key=lambda one: (one.estimate.rtt - one.estimate.deviation, one.name))
    others = tuple(one for one in choice.ranked if one is not first)
    return Choice((first, *others), "to learn how far it is")


def _is_promising(one: Candidate, best: Candidate, rules: RouteRules) -> bool:
    distance = one.estimate.distance_km
    possible = rules.access_min_ms + (light_ms(distance) if distance is not None else 0.0)
    return (
        one.estimate.rtt - one.estimate.deviation < best.estimate.rtt
        and possible < best.estimate.rtt
        and one.node.utilisation <= rules.explore_below
    )
