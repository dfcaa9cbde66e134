from dataclasses import replace

from router_world import NOW, client_at, node

from edgeproxy.router.coverage import Entry, coverage
from edgeproxy.router.decide import Asking, decide
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.otherwise import otherwise
from edgeproxy.router.snapshot import RouteObject, Snapshot

NODES = tuple(node(city) for city in ("paris", "tokyo", "denver"))
WORLD = Snapshot(NODES)
OBJECT = RouteObject("k")
NEVER = Asking()


def found(snapshot: Snapshot, city: str = "berlin", asking: Asking = NEVER) -> list[str]:
    decision = decide(client_at(city), OBJECT, snapshot, NOW, asking)
    return otherwise(client_at(city), OBJECT, snapshot, NOW, asking, decision)


def test_the_load_it_names_is_the_one_at_which_the_answer_changes() -> None:
    sentence = next(text for text in found(WORLD) if " were at " in text)
    used = float(sentence.partition(" were at ")[2].partition("%")[0]) / 100

    def chosen(load: float) -> str:
        nodes = (replace(NODES[0], utilisation=load), *NODES[1:])
        one = decide(client_at("berlin"), OBJECT, replace(WORLD, nodes=nodes), NOW).node
        return "" if one is None else one.name

    assert chosen(used) == sentence.split()[0]
    assert chosen(used - 0.01) == "paris"


def test_a_single_node_has_nobody_behind_it() -> None:
    assert found(Snapshot(NODES[:1])) == ["no node if paris were out of service"]


def test_a_dead_node_that_would_be_nearest_is_named() -> None:
    dead = replace(WORLD, nodes=(replace(NODES[0], state=NodeState.DOWN), *NODES[1:]))
    assert "paris would be chosen were it not for: down" in found(dead)


def test_a_coverage_map_is_named_where_it_is_what_keeps_a_nearer_node_away() -> None:
    covered = replace(WORLD, coverage=coverage([Entry(("tokyo",), country="DE")]))
    assert "paris would be chosen were it not for: the coverage map names other nodes" in found(covered)


def test_exploration_is_left_out() -> None:
    assert found(WORLD, asking=Asking(chance=0.0)) == found(WORLD)
