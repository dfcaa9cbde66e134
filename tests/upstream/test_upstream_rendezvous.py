from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.upstream.rendezvous import LOAD_LEAST, owner, ranked

NODES = dict.fromkeys("abcde", 1.0)
KEYS = [f"https://origin.example/{number}" for number in range(3000)]
weights = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(0.1, 10), min_size=1)


@given(st.text(), weights)
def test_the_order_does_not_depend_on_how_the_nodes_are_listed(key: str, nodes: dict[str, float]) -> None:
    backwards = dict(reversed(nodes.items()))
    assert ranked(key, nodes) == ranked(key, backwards)
    assert sorted(ranked(key, nodes)) == sorted(nodes)


@given(st.text(), weights)
def test_a_node_that_goes_takes_only_its_own_keys_along(key: str, nodes: dict[str, float]) -> None:
    order = ranked(key, nodes)
    for gone in nodes:
        left = {name: weight for name, weight in nodes.items() if name != gone}
        assert ranked(key, left) == [name for name in order if name != gone]


def test_each_node_owns_a_share_that_goes_with_its_weight() -> None:
    owned = Counter(owner(key, {"heavy": 3.0, "light": 1.0}, {}) for key in KEYS)
    assert 0.7 < owned["heavy"] / len(KEYS) < 0.8
    even = Counter(owner(key, NODES, {}) for key in KEYS)
    assert all(0.16 < even[name] / len(KEYS) < 0.24 for name in NODES)


def test_an_owner_with_much_more_than_its_part_is_passed_over() -> None:
    key = KEYS[0]
    first, second, *_ = ranked(key, NODES)
    assert owner(key, NODES, {first: LOAD_LEAST - 1}) == first
    assert owner(key, NODES, {first: LOAD_LEAST}) == second
    assert owner(key, NODES, {first: 100, second: 90}) not in (first, second)
    assert owner(key, NODES, dict.fromkeys(NODES, 100)) == first


@given(st.text(), weights, st.dictionaries(st.sampled_from("abc"), st.integers(0, 500)))
def test_there_is_always_an_owner(key: str, nodes: dict[str, float], loads: dict[str, int]) -> None:
    assert owner(key, nodes, loads) in nodes


def test_without_nodes_there_is_none() -> None:
    assert owner("key", {}, {}) is None
