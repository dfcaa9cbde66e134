"""The benchmark of the router: its data, its figures, and small runs of what it asks."""

import random

import pytest

from benchmarks.report import Result
from benchmarks.route import data, failing, five, last_mile, moving, unknown
from benchmarks.route.figures import figures, percentile
from benchmarks.route.world import azure_world, some_nodes
from edgeproxy.router.policies import Geo, GeoRtt
from edgeproxy.router.snapshot import RouteRules


def test_the_data_are_whole() -> None:
    azure = data.azure()
    assert len(azure.sites) == len(azure.rtt) == 43
    assert all(len(row) == 43 and min(row) >= 1 for row in azure.rtt)
    assert azure.rtt[azure.number("east-us")][azure.number("west-us")] == pytest.approx(70, abs=15)
    assert len(data.seattle()) == 688 * 99 * 8
    shot = data.planetlab(1)
    assert (len(shot), {len(row) for row in shot}) == (490, {490})
    assert all(name in (data.FOLDER / "NOTICE").read_text() for name in ("azure-p50", "planetlab", "seattle"))


def test_a_percentile_is_a_value_that_so_many_do_not_exceed() -> None:
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 0.99, 1.0)] == [1, 50, 95, 99, 100]
    assert percentile([7.0], 0.99) == 7.0


def test_clearly_worse_is_more_than_a_twentieth_and_a_millisecond() -> None:
    found = figures([10.9, 106.5, 120.0, 50.0], [10.0, 100.0, 100.0, 50.0])
    assert found.worse == 0.5
    assert found.excess == pytest.approx((0.9 + 6.5 + 20) / 4)


def test_nodes_are_drawn_from_four_continents_and_the_same_again_with_the_same_seed() -> None:
    azure = data.azure()
    drawn = some_nodes(azure, 5, random.Random(3))
    assert drawn == some_nodes(azure, 5, random.Random(3))
    assert len({azure.sites[number].continent for number in drawn}) >= 4


def test_who_knows_all_ways_finds_nearly_the_best_and_who_knows_none_does_not_do_worse_than_distance() -> (
    None
):
    chance = random.Random(5001)
    azure = data.azure()
    drawn = some_nodes(azure, 5, chance)
    known = azure_world(azure, drawn, 1.0, chance)
    snapshot = known.snapshot()
    best = sum(min(row) for row in known.truth)
    assert sum(unknown.picked(known, GeoRtt(), snapshot)) <= best + len(known.clients)
    assert sum(unknown.picked(known, Geo(), snapshot)) >= best


def test_a_part_left_out_is_put_back() -> None:
    before = unknown.neighbours.NODE_STRENGTH
    with unknown.changed(unknown.neighbours, {"NODE_STRENGTH": 99.0}):
        assert unknown.neighbours.NODE_STRENGTH == 99.0
    assert before == unknown.neighbours.NODE_STRENGTH


@pytest.mark.parametrize("loop", [five.OPEN, five.CLOSED], ids=["open", "closed"])
def test_round_robin_is_left_far_behind_in_both_loops(loop: five.Loop) -> None:
    world = five.world_of(0.25, 1)
    pickers = five.pickers(world, 1)
    means = {
        name: figures(*five.run(world, pickers[name], loop, 400, 1)).mean
        for name in ("round robin", "least connections", "geo+rtt", "oracle")
    }
    assert means["oracle"] <= means["geo+rtt"] < means["least connections"]
    assert means["round robin"] >= five.TIMES * means["geo+rtt"]


def test_devices_that_jump_and_hosts_that_stand_still_are_walked() -> None:
    jumping = moving.seattle(moving.PROMPT, slices=12)
    assert jumping.mean >= sum(jumping.best) / len(jumping.best)
    assert jumping.asked == 11 * 94
    still = moving.planetlab(900, RouteRules(), rounds=1)
    assert still.asked == 3 * (still.asked // 3)
    assert 0 <= still.excess < 0.25


def test_a_last_mile_is_never_faster_than_light() -> None:
    world = last_mile.world_of(0.0, 1)
    assert len(world.clients) == 4 * 43
    assert min(min(row) for row in world.truth) > 1.0


def test_a_flapping_node_is_left_alone() -> None:
    assert failing.flapping() <= 4


def test_the_plot_of_policies_has_those_of_the_open_loop_with_mean_p50_and_p95() -> None:
    made = figures([50.0, 30.0, 120.0], [30.0, 30.0, 30.0])
    drawn = five.plotted({"geo, open": made, "geo+rtt, open": made, "geo, closed": made})
    assert [one.label for one in drawn.series] == ["mean", "p50", "p95"]
    assert [name for name, _ in drawn.series[0].points] == ["geo", "geo+rtt"]
    assert drawn.series[1].points[0][1] == made.p50


def test_a_cut_centre_fails_nobody() -> None:
    result = Result("routing", "?", [])
    failing._cut(result)
    assert [limit.met for limit in result.limits] == [True]
