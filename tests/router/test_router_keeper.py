from __future__ import annotations

import asyncio
import contextlib

from router.router_keeping import House, address_in, announcement
from router.router_world import NOW

from edgeproxy.router.announcement import RoundTrip
from edgeproxy.router.client import parse
from edgeproxy.router.coverage import Coverage, Entry, coverage
from edgeproxy.router.decide import Decision, decide
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import RouteRules


def ask(house: House, city: str, number: int = 1) -> Decision:
    """A question as the routers put it."""
    keeper = house.keeper
    client = keeper.client(parse(address_in(city, number)))
    decision = decide(client, None, keeper.snapshot, house.clock.now)
    keeper.decided(client, decision)
    return decision


def asked(house: House, city: str, number: int = 1) -> str:
    decision = ask(house, city, number)
    assert decision.node is not None
    return decision.node.name


def test_the_first_map_is_there_at_once_and_sends_clients_to_the_nearest() -> None:
    house = House()
    assert house.keeper.snapshot.generation == 1
    assert asked(house, "berlin") == "berlin"
    assert asked(house, "tokyo") == "tokyo"


def test_a_node_that_dies_is_left_and_comes_back_slowly() -> None:
    house = House()
    house.looks(berlin=True, paris=True, tokyo=True)
    house.looks(3, berlin=False, paris=True, tokyo=True)
    assert house.down() == {"berlin"}
    assert asked(house, "berlin") == "paris"
    assert any("berlin is down" in line for line in house.lines)
    house.looks(5, berlin=True, paris=True, tokyo=True)
    assert house.down() == set()
    assert house.node("berlin").started == house.clock.now


def test_watchers_are_told_of_each_map_and_generations_count() -> None:
    house = House()
    seen: list[int] = []
    house.keeper.watch(lambda: seen.append(house.keeper.snapshot.generation))
    house.keeper.publish()
    house.keeper.publish()
    assert seen == [2, 3]


def test_a_map_that_was_handed_out_never_changes() -> None:
    house = House()
    before = house.keeper.snapshot
    house.looks(4, berlin=False, paris=True, tokyo=True)
    assert all(one.state is NodeState.UP for one in before.nodes)
    assert before.kept == {}


def test_all_nodes_down_at_once_is_not_believed_of_one_prober() -> None:
    house = House()
    house.looks(2, berlin=True, paris=True, tokyo=True)
    house.looks(20, berlin=False, paris=False, tokyo=False)
    assert house.down() == set()


def test_a_prober_that_is_alone_and_sees_most_of_them_fail_doubts_itself() -> None:
    house = House()
    house.looks(2, berlin=True, paris=True, tokyo=True)
    house.looks(20, berlin=False, paris=False, tokyo=True)
    assert house.down() == set()


def test_other_points_outvote_a_router_that_cannot_reach_a_node() -> None:
    house = House()
    for _ in range(5):
        house.keeper.saw("paris", "berlin", True)
        house.keeper.saw("tokyo", "berlin", True)
        house.looks(berlin=False, paris=True, tokyo=True)
    assert house.down() == set()
    for point in ("paris", "tokyo"):
        house.keeper.saw(point, "berlin", False)
    house.keeper.publish()
    assert house.down() == {"berlin"}


def test_nobody_speaks_for_itself_or_of_who_is_unknown() -> None:
    house = House()
    house.keeper.saw("berlin", "berlin", False)
    house.keeper.saw("mallory", "berlin", False)
    house.keeper.saw("berlin", "mallory", False)
    house.keeper.publish()
    assert house.down() == set()


def test_round_trips_of_clients_teach_which_node_is_near() -> None:
    house = House()
    prefix = address_in("berlin").rpartition(".")[0] + ".0/24"
    assert asked(house, "berlin") == "berlin"
    for number in range(1, 12):
        house.keeper.round_trips("berlin", [RoundTrip(prefix, 60.0, 9)])
        house.keeper.round_trips("paris", [RoundTrip(prefix, 40.0, 9)])
        house.clock.now += 10.0
        house.learn()
        last = asked(house, "berlin")
        assert number > 3 or last == "berlin", "a group does not move for a passing gain"
    assert last == "paris"


def test_what_nodes_see_of_each_other_tells_of_clients_near_them() -> None:
    house = House()
    before = ask(house, "berlin").ranked
    for _ in range(20):
        house.clock.now += 10.0
        house.keeper.saw("berlin", "paris", True, 200.0)
        house.learn()
    after = ask(house, "berlin").ranked
    assert [one.name for one in after][:2] == ["berlin", "paris"]
    estimates = [{one.name: one.estimate.rtt for one in ranked}["paris"] for ranked in (before, after)]
    assert estimates[1] > 3 * estimates[0]
    assert {one.name: one.estimate.source for one in after}["paris"] == "neighbours"


def test_at_most_a_twentieth_of_all_requests_moves_in_a_minute() -> None:
    house = House()
    groups = range(1, 101)
    for number in groups:
        assert asked(house, "berlin", number) == "berlin"
    # Suddenly the way to Berlin is long, for all of them.
    moved: list[int] = []
    at = dict.fromkeys(groups, "berlin")
    for _ in range(60):
        house.clock.now += 10.0
        for number in groups:
            prefix = f"8.0.{number}.0/24"
            house.keeper.round_trips("berlin", [RoundTrip(prefix, 180.0, 9)])
            house.keeper.round_trips("paris", [RoundTrip(prefix, 20.0, 9)])
        house.learn()
        now = {number: asked(house, "berlin", number) for number in groups}
        moved.append(sum(now[number] != at[number] for number in groups))
        at = now
    assert sum(moved) > 30, "they do move"
    assert max(sum(moved[start : start + 6]) for start in range(54)) <= 10, "no window has twice the share"
    assert sum(moved) / (len(moved) / 6) <= 6


def test_a_dead_node_is_left_by_all_at_once() -> None:
    house = House()
    for number in range(1, 101):
        assert asked(house, "berlin", number) == "berlin"
    house.looks(berlin=True, paris=True, tokyo=True)
    house.looks(3, berlin=False, paris=True, tokyo=True)
    assert {asked(house, "berlin", number) for number in range(1, 101)} == {"paris"}


def test_where_signals_stop_the_map_is_old_and_still_used() -> None:
    house = House()
    house.looks(berlin=True, paris=True, tokyo=True)
    house.clock.now += 301.0
    house.keeper.publish()
    decision = ask(house, "berlin")
    assert decision.is_old
    assert decision.node is not None
    house.looks(berlin=True, paris=True, tokyo=True)
    assert not ask(house, "berlin").is_old


def test_a_complaint_binds_who_made_it() -> None:
    house = House()
    keeper = house.keeper
    client = keeper.client(parse(address_in("berlin")))
    other = keeper.client(parse(address_in("berlin").rpartition(".")[0] + ".200"))
    assert other.group == client.group
    keeper.complained(client, "berlin")
    assert keeper.excluded(client) == frozenset(), "it only seems to have"
    keeper.complained(client, "berlin", lasts=True)
    keeper.complained(client, "nobody", lasts=True)
    assert keeper.excluded(client) == {"berlin"}
    assert keeper.excluded(other) == frozenset()
    house.clock.now += 601.0
    assert keeper.excluded(client) == frozenset()


def test_clients_alone_can_take_no_node_down() -> None:
    house = House()
    for number in range(1, 200):
        client = house.keeper.client(parse(address_in("berlin", number)))
        house.keeper.complained(client, "paris")
    house.keeper.publish()
    assert house.down() == set()


def test_a_doubt_of_a_client_has_the_node_looked_at_and_a_client_that_repeats_itself_does_not() -> None:
    house = House()
    looked: list[str] = []
    house.keeper.look_by(looked.append)
    one, other = (house.keeper.client(parse(address_in("berlin", number))) for number in (1, 2))
    for _ in range(50):
        house.keeper.complained(one, "berlin")
        house.keeper.failed(one, "berlin", unreachable=True)
        house.keeper.failed(one, "nobody", unreachable=True)
    assert looked == ["berlin"]
    house.keeper.failed(other, "berlin", unreachable=False)
    house.keeper.complained(one, "paris")
    assert looked == ["berlin", "berlin", "paris"]
    house.clock.now += 11.0
    house.keeper.complained(one, "berlin")
    assert looked[3:] == ["berlin"]


def test_one_client_that_meets_failures_takes_no_node_down() -> None:
    house = House()
    house.looks(5, berlin=True, paris=True, tokyo=True)
    client = house.keeper.client(parse(address_in("berlin")))
    for _ in range(100):
        house.clock.now += 0.5
        house.keeper.failed(client, "berlin", unreachable=True)
        house.keeper.looked("berlin", True)
        house.keeper.publish()
    assert house.down() == set()


def test_clients_that_make_requests_fail_take_no_node_down() -> None:
    """They can ask for what takes for ever, but not for a node that cannot be reached."""
    house = House()
    for number in range(1, 200):
        house.clock.now += 0.1
        client = house.keeper.client(parse(address_in("berlin", number)))
        house.keeper.failed(client, "berlin", unreachable=False)
    house.keeper.publish()
    assert house.down() == set()


def test_a_node_that_several_clients_cannot_reach_is_left_before_the_next_probe() -> None:
    house = House()
    house.looks(5, berlin=True, paris=True, tokyo=True)
    clients = [house.keeper.client(parse(address_in("berlin", number))) for number in range(1, 40)]
    for client in clients[:20]:  # at the same moment: one cause, one look
        house.keeper.failed(client, "berlin", unreachable=True)
    house.keeper.publish()
    assert house.down() == set()
    for client in clients[20:22]:
        house.clock.now += 1.0
        house.keeper.failed(client, "berlin", unreachable=True)
    house.keeper.publish()
    assert house.down() == {"berlin"}


def test_what_is_kept_of_groups_is_bounded() -> None:
    house = House(groups_max=50)
    for number in range(1, 200):
        ask(house, "berlin", number)
    house.keeper.publish()
    assert len(house.keeper.snapshot.kept) == 50


def test_another_configuration_is_in_the_next_map() -> None:
    house = House()
    house.keeper.configure(coverage=coverage([Entry(("tokyo",), country="DE")]), rules=RouteRules())
    assert asked(house, "berlin") == "tokyo"
    house.keeper.configure(coverage=Coverage(), rules=RouteRules())
    assert house.keeper.snapshot.generation == 3


def test_an_announced_node_comes_and_goes() -> None:
    house = House()
    assert house.registry.announced(announcement(latitude=52.5, longitude=13.5), house.clock.now)
    house.keeper.publish()
    assert house.node("oslo").url == "https://oslo.edge.example"
    house.clock.now += 31.0
    house.keeper.publish()
    assert "oslo" not in [one.name for one in house.keeper.snapshot.nodes]
    assert any("oslo is gone" in line for line in house.lines)


async def test_a_change_of_health_is_in_the_map_long_before_the_next_is_due() -> None:
    house = House(publish_seconds=600.0)
    task = asyncio.get_running_loop().create_task(house.keeper.run())
    changed = asyncio.Event()
    house.keeper.watch(changed.set)
    for _ in range(3):
        for name in ("berlin", "paris", "tokyo"):
            house.keeper.looked(name, name != "berlin")
    async with asyncio.timeout(30):
        await changed.wait()
    assert house.down() == {"berlin"}
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_the_clock_of_the_map_is_the_one_given() -> None:
    assert House().keeper.snapshot.made_at == NOW


def test_a_configured_node_that_falls_silent_is_suspected_by_that_alone() -> None:
    house = House()
    house.registry.announced(announcement("berlin"), house.clock.now)
    house.looks(7, berlin=True, paris=True, tokyo=True)
    assert house.down() == set(), "its probes say otherwise"
    for _ in range(3):
        house.clock.now += 11.0
        house.registry.announced(announcement("berlin", at=house.clock.now), house.clock.now)
    house.clock.now += 31.0
    house.keeper.publish()
    assert house.down() == {"berlin"}, "nobody else has said anything of it lately"
