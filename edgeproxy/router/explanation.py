"""Why a client is sent where it is sent, as a document: made by the code that decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgeproxy.router.choice import Candidate, pool_bound, pool_of
from edgeproxy.router.client import Client
from edgeproxy.router.decide import PLAIN, Asking, Decision, candidates_for, decide
from edgeproxy.router.otherwise import otherwise
from edgeproxy.router.place import Place, light_ms
from edgeproxy.router.snapshot import RouteObject, Snapshot


def explanation(
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking = PLAIN,
    *,
    table: str = "",
) -> dict[str, Any]:
    """Ready for JSON; milliseconds, kilometres, seconds. `table` is the name of the tables by which the
    client was placed. `now` is wall-clock time, `asking` as in `decide`. Takes milliseconds: not for every
    answer."""
    decision = decide(client, asked, snapshot, now, asking)
    known = candidates_for(client, asked, snapshot.nodes, snapshot, now)
    reasons = {one.node: one.reason.value for one in decision.refused}
    by_cost = sorted(decision.ranked, key=lambda one: (one.cost.total, one.name))
    pool = [one.name for one in pool_of(by_cost, asked, snapshot.rules)] if by_cost else []
    return {
        "client": _client(client, table),
        "object": None if asked is None else asdict(asked),
        "map": {
            "generation": snapshot.generation,
            "age_seconds": round(max(0.0, now - snapshot.made_at), 1) if snapshot.made_at else None,
            "is_old": decision.is_old,
        },
        "choice": _choice(decision),
        "pool": {"nodes": pool, "bound_ms": _bound(by_cost, asked, snapshot)},
        "candidates": [_candidate(one, rank, pool) for rank, one in enumerate(decision.ranked, 1)],
        "refused": [
            _candidate(one, None, pool) | {"reason": reasons[one.name]}
            for one in known
            if one.name in reasons
        ],
        "otherwise": otherwise(client, asked, snapshot, now, asking, decision),
    }


def _client(client: Client, table: str) -> dict[str, Any]:
    where = client.whereabouts
    return {
        "address": None if client.address is None else str(client.address),
        "prefix": client.prefix,
        "is_private": client.is_private,
        "country": where.country,
        "asn": where.asn or None,
        "bgp_prefix": where.bgp_prefix,
        "place": _place(where.place),
        "table": table,
        "group": str(client.group),
    }


def _place(place: Place | None) -> dict[str, float] | None:
    return None if place is None else asdict(place)


def _choice(decision: Decision) -> dict[str, Any]:
    node = decision.node
    return {
        "node": None if node is None else node.name,
        "url": None if node is None else node.url,
        "to_origin": decision.to_origin,
        "reason": decision.reason,
        "scope": decision.scope,
        "ttl_seconds": decision.ttl,
    }


def _bound(by_cost: Sequence[Candidate], asked: RouteObject | None, snapshot: Snapshot) -> float | None:
    if not by_cost:
        return None
    return round(pool_bound(by_cost[0].cost.total, asked, snapshot.rules), 2)


def _candidate(one: Candidate, rank: int | None, pool: Sequence[str]) -> dict[str, Any]:
    estimate, cost = one.estimate, one.cost
    distance = estimate.distance_km
    return {
        "node": one.name,
        "rank": rank,
        "state": one.node.state.value,
        "is_in_pool": one.name in pool,
        "estimate_ms": round(estimate.rtt, 2),
        "deviation_ms": round(estimate.deviation, 2),
        "source": estimate.source,
        "by_distance_ms": round(estimate.prior, 2),
        "distance_km": None if distance is None else round(distance),
        "light_ms": None if distance is None else round(light_ms(distance), 2),
        "utilisation": round(one.node.utilisation, 4),
        "in_flight": one.node.in_flight,
        "cost": {
            **{name: round(value, 2) for name, value in cost._asdict().items()},
            "total": round(cost.total, 2),
        },
    }


def lines(document: dict[str, Any]) -> list[str]:
    """The same to be read on a terminal."""
    client, choice = document["client"], document["choice"]
    place = client["place"]
    where = (
        "place unknown"
        if place is None
        else (f"{place['latitude']:.1f}, {place['longitude']:.1f} within {place['radius_km']:.0f} km")
    )
    chosen = choice["node"] or ("the original URL" if choice["to_origin"] else "none")
    network = f"AS{client['asn']}" if client["asn"] else "AS unknown"
    found = [
        f"client     {client['address'] or 'unknown'} ({client['prefix'] or 'no prefix'}), "
        f"{client['country'] or 'country unknown'}, {network}, {where}"
        + (f", by {client['table']}" if client["table"] else ""),
        f"choice     {chosen}: {choice['reason']}",
    ]
    for one in document["candidates"]:
        terms = " + ".join(f"{v:.1f} {k}" for k, v in one["cost"].items() if k != "total" and round(v, 1))
        found.append(
            f"{one['rank']:>3}. {one['node']:<20} {one['estimate_ms']:.1f} +- {one['deviation_ms']:.1f} ms "
            f"by {one['source']}; cost {one['cost']['total']:.1f} = {terms}"
            + ("; in the pool" if one["is_in_pool"] else "")
        )
    found += [f"  -  {one['node']:<20} refused: {one['reason']}" for one in document["refused"]]
    return [*found, *(f"otherwise  {text}" for text in document["otherwise"])]
