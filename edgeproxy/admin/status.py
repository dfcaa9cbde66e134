"""The store and the traffic as dictionaries for /api/v1/status."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgeproxy.message import CacheOutcome
from edgeproxy.metrics import Metrics
from edgeproxy.storage.store import StoreStatistics

_FROM_STORE = frozenset({CacheOutcome.HIT, CacheOutcome.STALE, CacheOutcome.REVALIDATED})
_ASKED_STORE = _FROM_STORE | {CacheOutcome.MISS}


def store_status(statistics: StoreStatistics) -> dict[str, Any]:
    """What the store holds, under the names of StoreStatistics."""
    return asdict(statistics)


def traffic_status(metrics: Metrics) -> list[dict[str, Any]]:
    """What was answered since the start, a row for each site. `hit_ratio` counts answers that came from
    the store among those for which the store was asked; it is None before the first."""
    metrics.settle()
    outcomes: dict[str, dict[str, int]] = {}
    for (site, cache, _), count in metrics.counters["requests_total"].items():
        by_cache = outcomes.setdefault(site, {})
        by_cache[cache] = by_cache.get(cache, 0) + count
    return [_row(site, outcomes[site], metrics) for site in sorted(outcomes)]


def _row(site: str, by_cache: dict[str, int], metrics: Metrics) -> dict[str, Any]:
    asked = sum(by_cache.get(outcome, 0) for outcome in _ASKED_STORE)
    served = sum(by_cache.get(outcome, 0) for outcome in _FROM_STORE)
    return {
        "site": site,
        "requests": sum(by_cache.values()),
        **{outcome.value: by_cache[outcome] for outcome in CacheOutcome if outcome in by_cache},
        "hit_ratio": round(served / asked, 4) if asked else None,
        "client_bytes": metrics.value("client_bytes_total", site),
        "upstream_bytes": metrics.value("upstream_bytes_total", site),
    }
