from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from router_world import NOW, PLACES, client_at, node

from edgeproxy.router.coverage import Elsewhere, Entry, coverage
from edgeproxy.router.decide import Asking, decide, eligible_for
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.prepared import Prepared
from edgeproxy.router.refusals import eligible
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
clients = st.sampled_from(
    [client_at(city, number=number, asn=asn) for city in CITIES for number in (1, 3, 4) for asn in (0, 64500)]
)


@given(
    nodes,
    st.lists(
        st.tuples(clients, st.sampled_from(OBJECTS), st.sampled_from([0.0, 0.5])), min_size=1, max_size=6
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
    prepared = Prepared(snapshot, NOW)
    for client, wanted, chance in asked:
        asking = Asking(family=4, chance=chance)
        assert prepared.decide(client, wanted, NOW, asking) == decide(client, wanted, snapshot, NOW, asking)


@given(nodes, clients, clients, st.sampled_from(OBJECTS))
def test_clients_of_a_shared_kind_get_the_same(
    made: list, one: object, other: object, asked: RouteObject
) -> None:
    snapshot = Snapshot(tuple(made), beliefs=BELIEFS, made_at=NOW)
    prepared, asking = Prepared(snapshot, NOW), Asking(family=4)
    kinds = [prepared.shared_kind(client, asking) for client in (one, other)]  # type: ignore[arg-type]
    if kinds[0] is not None and kinds[0] == kinds[1]:
        both = [decide(client, asked, snapshot, NOW, asking).ranked for client in (one, other)]  # type: ignore[arg-type]
        assert both[0] == both[1]


def test_where_a_node_is_nearly_full_or_starting_nothing_is_shared() -> None:
    for busy in (node("paris", utilisation=0.9), node("paris", started=NOW - 5)):
        prepared = Prepared(Snapshot((busy, node("tokyo"))), NOW)
        assert prepared.shared_kind(client_at("berlin"), Asking()) is None
    steady = Prepared(Snapshot((node("paris", started=NOW - 900),)), NOW)
    assert steady.shared_kind(client_at("berlin"), Asking()) is not None
    assert steady.shared_kind(client_at("berlin"), Asking(excluded=frozenset({"x"}))) is None


def test_complaints_are_looked_at_each_time() -> None:
    snapshot = Snapshot((node("paris"), node("tokyo")))
    asking = Asking(excluded=frozenset({"paris"}))
    decision = Prepared(snapshot, NOW).decide(client_at("berlin"), OBJECTS[0], NOW, asking)
    assert decision == decide(client_at("berlin"), OBJECTS[0], snapshot, NOW, asking)


def test_networks_of_nodes_are_those_of_single_addresses() -> None:
    snapshot = Snapshot((node("paris", networks=(ip_network("198.0.1.0/25"),)), node("tokyo")))
    prepared = Prepared(snapshot, NOW)
    for number in (1, 2):
        client = client_at("berlin", number=number)
        assert prepared.decide(client, OBJECTS[0], NOW, Asking()) == decide(client, OBJECTS[0], snapshot, NOW)


restricted = st.lists(
    st.builds(
        lambda city, state, countries, asns, networks, addresses: node(
            city,
            state=state,
            countries=frozenset(countries),
            asns=asns,
            networks=tuple(ip_network(text) for text in networks),
            addresses=addresses,
        ),
        st.sampled_from(CITIES),
        st.sampled_from(list(NodeState)),
        st.sampled_from([(), ("DE",), ("DE", "FR")]),
        st.sampled_from([(), (64500,)]),
        st.sampled_from([(), (), (), ("198.0.1.0/25",)]),
        st.sampled_from([(), ("192.0.2.1",), ("2001:db8::1",)]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda one: one.name,
)


@given(restricted, st.lists(st.tuples(clients, st.sampled_from([0, 4, 6])), max_size=8), st.booleans())
def test_who_may_serve_is_the_same_whoever_was_asked_about_before(
    made: list, asked: list, serves_some: bool
) -> None:
    entries = [Entry((made[0].name,), network=ip_network("198.0.3.0/24")), Entry((made[-1].name,), asn=64500)]
    rule = coverage(entries, countries=["DE"] if serves_some else [], elsewhere=Elsewhere.ORIGIN)
    snapshot = Snapshot(tuple(made), coverage=rule, made_at=NOW)
    for client, family in asked:
        found = eligible(snapshot.nodes, client, rule, family=family)
        assert eligible_for(client, snapshot, Asking(family=family)) == found


@given(nodes, clients, clients, st.sampled_from(OBJECTS), st.booleans())
def test_by_order_clients_of_a_shared_kind_are_sent_to_the_same_nodes_for_the_same_reason(
    made: list, one: object, other: object, asked: RouteObject, is_covered: bool
) -> None:
    rule = coverage([])
    if is_covered and made:
        rule = coverage([Entry((made[0].name,), asn=64500), Entry((made[-1].name,), country="DE")])
    snapshot = Snapshot(tuple(made), beliefs=BELIEFS, coverage=rule, made_at=NOW)
    prepared, asking = Prepared(snapshot, NOW, by_order=True), Asking(family=4)
    kinds = [prepared.shared_kind(client, asking) for client in (one, other)]  # type: ignore[arg-type]
    if kinds[0] is not None and kinds[0] == kinds[1]:
        both = [decide(client, asked, snapshot, NOW, asking) for client in (one, other)]  # type: ignore[arg-type]
        names = [[candidate.name for candidate in decision.ranked] for decision in both]
        assert (names[0], both[0].reason) == (names[1], both[1].reason)


def test_by_order_countries_with_the_same_way_share_a_kind() -> None:
    snapshot = Snapshot((node("paris"), node("tokyo"), node("denver")), made_at=NOW)
    kinds = {}
    for by_order in (False, True):
        prepared = Prepared(snapshot, NOW, by_order=by_order)
        kinds[by_order] = [prepared.shared_kind(client_at(city), Asking()) for city in ("berlin", "paris")]
    assert kinds[False][0] != kinds[False][1]
    assert kinds[True][0] == kinds[True][1]


def test_what_is_worked_out_stays_with_a_map_that_says_the_same() -> None:
    paris, tokyo = node("paris"), node("tokyo")
    first = Snapshot((paris, tokyo), made_at=NOW)
    prepared = Prepared(first, NOW)
    assert prepared.stays(
        replace(first, nodes=(node("paris"), node("tokyo")), generation=2, made_at=NOW + 10)
    )
    for other in (
        replace(first, nodes=(paris,)),
        replace(first, nodes=(tokyo, paris)),
        replace(first, nodes=(paris, replace(tokyo, state=NodeState.DOWN))),
        replace(first, nodes=(paris, replace(tokyo, utilisation=0.1))),
        replace(first, beliefs=BELIEFS),
        replace(first, coverage=coverage([Entry(("paris",), country="JP")])),
        replace(first, rules=replace(first.rules, access_ms=11.0)),
        replace(first, made_at=NOW - 400),
    ):
        assert not prepared.stays(other)


def test_what_fades_with_time_is_worked_out_anew() -> None:
    observed = Snapshot((node("paris"),), beliefs=BELIEFS, made_at=NOW)
    assert not Prepared(observed, NOW).stays(replace(observed, generation=2))
    starting = Snapshot((node("paris", started=NOW - 5),), made_at=NOW)
    assert not Prepared(starting, NOW).stays(replace(starting, generation=2))


def test_after_it_is_renewed_a_later_map_is_not_old() -> None:
    first = Snapshot((node("paris"),), made_at=NOW)
    later = replace(first, made_at=NOW + 1000, generation=2)
    prepared = Prepared(first, NOW)
    assert prepared.decide(client_at("berlin"), OBJECTS[0], NOW + 1000, Asking()).is_old
    prepared.renew(later)
    assert not prepared.decide(client_at("berlin"), OBJECTS[0], NOW + 1000, Asking()).is_old
