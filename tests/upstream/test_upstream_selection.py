"""Selection as a table: what is known of the candidates, in which order they are asked, and why not."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.candidate_health import Health
from edgeproxy.upstream.selection import Asked, Selection, Standing, select

NOW = 1000.0
WELL = Health()
ERRING = Health(is_ejected=True, ejected_until=NOW + 5, bad=4, why="failed: 502")
DEAD = Health(is_ejected=True, is_dead=True, ejected_until=NOW + 5, why="unreachable: refused")
JUST_BACK = Health(returned_at=NOW)
KEYS = [f"http://origin.test/{number}" for number in range(400)]


def parent(name: str, health: Health = WELL, **options: Any) -> Standing:
    return Standing(Candidate(name, Role.PARENT, **options), health)


def sibling(name: str, health: Health = WELL, in_use: int = 0) -> Standing:
    return Standing(Candidate(name, Role.SIBLING), health, in_use)


def names(selection: Selection) -> list[str]:
    return [candidate.name for candidate in selection.order]


def why(selection: Selection) -> dict[str, str]:
    return {refused.name: refused.why for refused in selection.refused}


def ask(standings: list[Standing], no_origin: str = "", own: str = "", **asked: Any) -> Selection:
    return select(
        standings, Asked(**{"site": "files", "draw": 0.5, **asked}), NOW, own=own, no_origin=no_origin
    )


def test_preference_comes_first_and_the_origin_last() -> None:
    chosen = ask([parent("far", preference=2), parent("near", preference=1)])
    assert names(chosen) == ["near", "far", "origin"]
    assert chosen.refused == ()


def test_the_origin_may_be_forbidden() -> None:
    chosen = ask([parent("a")], no_origin="a closed region")
    assert names(chosen) == ["a"]
    assert why(chosen) == {"origin": "a closed region"}


def test_the_ejected_are_refused_with_what_went_wrong() -> None:
    chosen = ask([parent("a", DEAD), parent("b", ERRING), parent("c")])
    assert names(chosen) == ["c", "origin"]
    assert why(chosen) == {"a": "ejected: unreachable: refused", "b": "ejected: failed: 502"}


def test_the_least_bad_is_asked_when_there_is_nobody_else() -> None:
    worse = Health(is_ejected=True, good=0, bad=9)
    better = Health(is_ejected=True, good=3, bad=3)
    standings = [parent("worse", worse), parent("better", better), parent("dead", DEAD)]
    chosen = ask(standings, no_origin="closed")
    assert names(chosen) == ["better", "worse"]
    assert set(why(chosen)) == {"dead", "origin"}
    assert names(ask(standings)) == ["origin"]


def test_when_all_are_dead_nobody_is_asked() -> None:
    chosen = ask([parent("a", DEAD), parent("b", DEAD)], no_origin="closed")
    assert chosen.order == ()
    assert set(why(chosen)) == {"a", "b", "origin"}


def test_one_that_returns_takes_its_share_and_stands_behind_otherwise() -> None:
    standings = [parent("back", JUST_BACK), parent("well", preference=0)]
    first = [names(ask(standings, key=KEYS[n], draw=n % 100 / 100))[0] for n in range(400)]
    assert 0 < first.count("back") <= 40
    assert all(set(names(ask(standings, draw=n / 100))[:2]) == {"back", "well"} for n in range(100))


def test_sites_and_methods_and_redirects_rule_candidates_out() -> None:
    standings = [parent("models", sites=("hf",)), parent("mirror", is_mirror=True), parent("any")]
    chosen = ask(standings, method="POST")
    assert names(chosen) == ["any", "origin"]
    assert why(chosen) == {"models": "not for this site", "mirror": "a mirror is not asked to POST"}
    chosen = ask(standings, has_credentials=True)
    assert names(chosen) == ["any", "origin"]
    assert why(chosen)["mirror"] == "credentials are for the origin, not for a mirror"
    assert names(ask(standings, is_moved=True)) == ["origin"]
    assert set(names(ask(standings, is_moved=True, no_origin="closed"))) == {"mirror", "any"}


def test_among_equals_the_key_decides_in_proportion_to_weight() -> None:
    standings = [parent("heavy", weight=3.0), parent("light", weight=1.0)]
    first = Counter(names(ask(standings, key=key))[0] for key in KEYS)
    assert 0.65 < first["heavy"] / len(KEYS) < 0.85
    assert names(ask(standings, key=KEYS[0])) == names(ask(standings[::-1], key=KEYS[0]))


def test_who_is_much_slower_stands_behind_for_small_and_bulk_apart() -> None:
    standings = [
        parent("near", Health(latency=0.01, goodput=1e6)),
        parent("fat", Health(latency=0.1, goodput=1e8)),
        parent("new"),
    ]
    for key in KEYS[:50]:
        assert names(ask(standings, key=key))[2:] == ["fat", "origin"]
        assert names(ask(standings, key=key, is_bulk=True))[2:] == ["near", "origin"]


def test_who_is_about_as_fast_keeps_its_keys() -> None:
    before = [parent("a", Health(latency=0.010)), parent("b", Health(latency=0.012))]
    after = [parent("a", Health(latency=0.013)), parent("b", Health(latency=0.009))]
    assert all(names(ask(before, key=key)) == names(ask(after, key=key)) for key in KEYS)


def test_whom_to_avoid_comes_after_the_origin() -> None:
    standings = [parent("a"), parent("b", preference=1)]
    assert names(ask(standings, avoid=frozenset({"a"}))) == ["b", "origin", "a"]
    assert names(ask(standings, avoid=frozenset({"a", "origin"}))) == ["b", "a", "origin"]


def test_a_sibling_is_asked_first_for_the_keys_it_owns() -> None:
    standings = [sibling("s1"), sibling("s2"), parent("up")]
    first = Counter(names(ask(standings, own="me", key=key))[0] for key in KEYS)
    assert set(first) == {"s1", "s2", "up"}
    assert all(count > len(KEYS) / 5 for count in first.values())
    chosen = ask(standings, own="me", key=KEYS[0])
    assert sum(one.role is Role.SIBLING for one in chosen.order) <= 1


def test_every_node_names_the_same_owner() -> None:
    everyone = ["n1", "n2", "n3"]
    for key in KEYS[:60]:
        owners = set()
        for me in everyone:
            chosen = ask([sibling(n) for n in everyone if n != me], own=me, key=key)
            owners.add(names(chosen)[0] if len(chosen.order) == 2 else me)
        assert len(owners) == 1


def test_a_dead_owner_costs_nothing_but_its_turn() -> None:
    for key in KEYS[:60]:
        well = [sibling("s1"), sibling("s2")]
        first = names(ask(well, own="me", key=key))[0]
        chosen = ask([sibling(n, DEAD if n == first else WELL) for n in ("s1", "s2")], own="me", key=key)
        assert first == "origin" or first not in names(chosen)


def test_what_a_sibling_asks_is_not_asked_of_siblings_again() -> None:
    standings = [sibling("s1"), sibling("s2"), parent("up")]
    assert all(names(ask(standings, own="me", key=key, by_sibling=True)) == ["up", "origin"] for key in KEYS)


healths = st.sampled_from([WELL, ERRING, DEAD, JUST_BACK, Health(latency=0.1), Health(goodput=1e6)])
pools = st.lists(
    st.tuples(healths, st.integers(0, 2), st.sampled_from([Role.PARENT, Role.SIBLING]), st.booleans()),
    max_size=6,
)


@given(pools, st.text(max_size=5), st.sampled_from(["GET", "POST"]), st.booleans(), st.floats(0, 0.99))
def test_everybody_is_either_asked_once_or_refused_with_a_reason(
    pool: list[tuple[Health, int, Role, bool]], key: str, method: str, closed: bool, draw: float
) -> None:
    standings = [
        Standing(Candidate(f"c{n}", role, preference=preference, is_mirror=mirror), health)
        for n, (health, preference, role, mirror) in enumerate(pool)
    ]
    asked = Asked("files", key, method, draw=draw)
    chosen = select(standings, asked, NOW, own="me", no_origin="closed" if closed else "")
    everybody = names(chosen) + [refused.name for refused in chosen.refused]
    assert sorted(everybody) == sorted([*(one.name for one in standings), "origin"])
    assert all(refused.why for refused in chosen.refused)
    asked_parents = [c for c in chosen.order if c.role is Role.PARENT]
    preferences = [c.preference for c in asked_parents]
    assert preferences == sorted(preferences)
    dead = {one.name for one in standings if one.health.is_dead}
    assert not dead & set(names(chosen))
