"""Who of several nodes owns a key: rendezvous hashing with weights and bounded loads.

Every node computes the same owner from names and weights alone. A node that goes takes only its own keys
with it: each of them falls to the node that was second for it. A node with much more than its part under
way is passed over until it has caught up (consistent hashing with bounded loads, 2016)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

LOAD_FACTOR = 1.25  # of the mean load that a node may have before it is passed over
LOAD_LEAST = 16  # always allowed: with little under way a mean says nothing


def ranked(key: str, weights: Mapping[str, float]) -> list[str]:
    """The nodes in the order in which they would own `key`; weights are above 0."""
    return sorted(weights, key=lambda name: _score(key, name, weights[name]), reverse=True)


def owner(key: str, weights: Mapping[str, float], loads: Mapping[str, int]) -> str | None:
    """The first in order that has room. `loads`: what is under way at each; nothing for those not named."""
    order = ranked(key, weights)
    if not order:
        return None
    total_weight, total = sum(weights.values()), sum(loads.get(name, 0) for name in order) + 1
    for name in order:
        part = LOAD_FACTOR * total * weights[name] / total_weight
        if loads.get(name, 0) < max(LOAD_LEAST, part):
            return name
    return order[0]


def _score(key: str, name: str, weight: float) -> float:
    """Highest random weight: -w / ln(u) for u uniform in (0, 1)."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), key=name.encode()[:64], digest_size=8)
    uniform = (int.from_bytes(digest.digest()) + 0.5) / 2.0**64
    return -weight / math.log(uniform) if uniform < 1 else math.inf
