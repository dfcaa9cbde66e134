from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from router_world import NOW, PLACES, client_at, node

from edgeproxy.router.coverage import Entry, coverage
from edgeproxy.router.decide import Asking, decide
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.prepared import Prepared
from edgeproxy.router.snapshot import RouteObject, Snapshot

CITIES = sorted(PLACES)
OBJECTS = [RouteObject("a"), RouteObject("b", 7, is_large=True), RouteObject("c", 9, True, True)]


def learned() -> Learner:
    """Who has observed one network of Berlin, and one AS."""
    learner = Learner()
    for _ in range(9):
        learner.told(client_at("berlin", number=3), "denver", PLACES["denver"], 9.0, NOW)
        learner.told(client_at("paris", number=4, asn=64500), "tokyo", PLACES["tokyo"], 30.0, NOW)
    return learner


BELIEFS = learned().beliefs()
nodes = st.lists(
    st.builds(
        lambda city, state, used, flying, fill: node(
            city, state=state, utilisation=used, in_flight=flying, fill_ms=fill, holds=frozenset({7})
        ),
        st.sampled_from(CITIES),
        st.sampled_from(list(NodeState)),
        st.sampled_from([0.0, 0.5, 0.9, 0.97]),
        st.sampled_from([0, 3, 50]),
        st.sampled_from([0.0, 40.0]),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)
clients = st.builds(
    client_at, st.sampled_from(CITIES), number=st.sampled_from([1, 3, 4]), asn=st.sampled_from([0, 64500])
)


@given(
    nodes,
    st.lists(
        st.tuples(clients, st.sampled_from(OBJECTS), st.sampled_from([0.0, 0.5])), min_size=1, max_size=12
    ),
    st.booleans(),
    st.booleans(),
)
def test_what_is_prepared_decides_as_who_works_it_out_each_time(
    made: list, asked: list, is_observed: bool, is_covered: bool
) -> None:
    rule = coverage([])
    if is_covered and made:
        rule = coverage([Entry((made[0].name,), network=ip_network("198.0.3.0/24"))])
    snapshot = Snapshot(tuple(made), coverage=rule, made_at=NOW)
    if is_observed:
        snapshot = replace(snapshot, beliefs=BELIEFS)
    prepared = Prepared(snapshot)
    for client, wanted, chance in asked:
        asking = Asking(family=4, chance=chance)
        assert prepared.decide(client, wanted, NOW, asking) == decide(client, wanted, snapshot, NOW, asking)


def test_complaints_are_looked_at_each_time() -> None:
    snapshot = Snapshot((node("paris"), node("tokyo")))
    asking = Asking(excluded=frozenset({"paris"}))
    decision = Prepared(snapshot).decide(client_at("berlin"), OBJECTS[0], NOW, asking)
    assert decision == decide(client_at("berlin"), OBJECTS[0], snapshot, NOW, asking)


def test_networks_of_nodes_are_those_of_single_addresses() -> None:
    snapshot = Snapshot((node("paris", networks=(ip_network("198.0.1.0/25"),)), node("tokyo")))
    prepared = Prepared(snapshot)
    for number in (1, 2):
        client = client_at("berlin", number=number)
        assert prepared.decide(client, OBJECTS[0], NOW, Asking()) == decide(client, OBJECTS[0], snapshot, NOW)
