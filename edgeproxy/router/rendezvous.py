"""Weighted rendezvous hashing: everybody who knows the names agrees which of them a key belongs to, and a
name that goes moves its own keys only (Thaler and Ravishankar, 1998; weights by the logarithm method,
Schindelhauer and Schomaker, 2005)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

_SCALE = float(1 << 64)


def share(*parts: str) -> float:
    """A number in (0, 1) that belongs to `parts`."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _SCALE


def ranked(key: str, names: Iterable[tuple[str, float]]) -> list[str]:
    """`names` with their weights (above 0), the one the key belongs to first."""
    scored = ((-math.log(share(key, name)) / weight, name) for name, weight in names if weight > 0)
    return [name for _, name in sorted(scored)]
