import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from router_world import PLACES

from edgeproxy.router import neighbours
from edgeproxy.router.neighbours import Neighbours, Told, fitted
from edgeproxy.router.place import Place

CITIES = sorted(PLACES)


def told(city: str, node: str, value: float, weight: float = 0.95) -> Told:
    return Told(city, PLACES[city], node, value, weight)


def mean(world: Neighbours, city: str, node: str) -> float:
    return world.afar(PLACES[city], node).mean


def test_who_was_told_nothing_expects_nothing_peculiar() -> None:
    assert fitted([]) == Neighbours()
    assert mean(Neighbours(), "berlin", "a") == 0.0


def test_a_node_that_is_slow_to_many_is_slow_to_all_that_have_not_tried_it() -> None:
    world = fitted(
        told(city, node, 0.7 if node == "slow" else 0.0)
        for city in ("berlin", "tokyo", "denver")
        for node in ("slow", "fast")
    )
    assert mean(world, "sydney", "slow") > mean(world, "sydney", "fast") + 0.3


def test_a_region_that_is_slow_to_many_nodes_is_slow_to_others_as_well() -> None:
    pairs = [(city, node) for city in ("paris", "tokyo", "denver") for node in ("a", "b", "c")]
    world = fitted(told(city, node, 0.7 if city == "paris" else 0.0) for city, node in pairs)
    assert mean(world, "berlin", "d") > mean(world, "sydney", "d") + 0.1


def test_what_is_peculiar_to_a_way_is_believed_of_the_neighbours_and_not_of_the_far_side() -> None:
    pairs = [(city, node) for city in ("paris", "tokyo", "denver") for node in ("a", "b", "c")]
    world = fitted(told(city, node, 0.9 if (city, node) == ("paris", "a") else 0.0) for city, node in pairs)
    assert mean(world, "berlin", "a") - mean(world, "berlin", "b") > 0.3
    assert mean(world, "sydney", "a") - mean(world, "sydney", "b") < 0.25


def test_one_doubtful_word_changes_little() -> None:
    assert abs(mean(fitted([told("paris", "a", 1.0, weight=0.1)]), "berlin", "a")) < 0.2


def test_a_node_is_near_only_to_neighbours_of_those_who_know_it() -> None:
    world = fitted([told("paris", "a", 0.1), told("tokyo", "b", 0.1)])
    assert world.afar(PLACES["berlin"], "a").is_near
    assert not world.afar(PLACES["berlin"], "b").is_near
    assert not world.afar(PLACES["berlin"], "unheard").is_near


def test_numbers_of_cells_outlast_a_map_and_answers_are_those_of_a_new_one() -> None:
    first = fitted([told("paris", "a", 0.4), told("tokyo", "b", 0.1)])
    first.afar(PLACES["berlin"], "a")
    news = [told("tokyo", "b", 0.3), told("paris", "a", 0.2)]
    second = fitted(news, first)
    assert dict(second.numbers) == {"paris": 0, "tokyo": 1}
    for city in CITIES:
        for node in ("a", "b", "c"):
            assert mean(second, city, node) == pytest.approx(mean(fitted(news), city, node))


def test_cells_and_memos_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CELLS_MAX", 3)
    monkeypatch.setattr(neighbours, "PLACES_MAX", 2)
    world = fitted(told(city, "a", 0.1) for city in CITIES)
    assert len(world.cells) == 3
    for city in CITIES:
        world.afar(PLACES[city], "a")
    assert len(world._asked) <= 2
    assert len(world._near) <= 2


@given(
    st.lists(
        st.tuples(st.sampled_from(CITIES), st.sampled_from("abc"), st.floats(-3, 3), st.floats(0.01, 0.99)),
        min_size=1,
        max_size=30,
    ),
    st.floats(-90, 90),
    st.floats(-180, 180),
)
@settings(deadline=None)
def test_no_expectation_is_beyond_what_was_seen_by_much(
    words: list[tuple[str, str, float, float]], latitude: float, longitude: float
) -> None:
    world = fitted(told(*word) for word in words)
    most = max(abs(value) for _, _, value, _ in words)
    for node in "abcd":
        found = world.afar(Place(latitude, longitude), node).mean
        assert math.isfinite(found)
        assert abs(found) <= 4 * most + 1e-9


def test_who_is_near_is_the_same_however_maps_came_one_after_the_other() -> None:
    chance = random.Random(1)
    cells = [
        Told(number, Place(chance.uniform(-60, 60), chance.uniform(-180, 180)), "a", chance.random(), 0.9)
        for number in range(120)
    ]
    spots = [Place(chance.uniform(-60, 60), chance.uniform(-180, 180)) for _ in range(40)]
    maps: list[Neighbours] = []
    for many in (10, 60, 120):
        maps.append(fitted(cells[:many], maps[-1] if maps else None))
        for spot in spots[: many // 3]:  # some are asked of one map, others of another first
            maps[-1].around(spot)
    for many, world in zip((120, 60, 10), reversed(maps), strict=True):
        alone = fitted(cells[:many])
        assert [world.around(spot) for spot in spots] == [alone.around(spot) for spot in spots]
