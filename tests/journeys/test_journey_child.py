"""Two nodes, one below the other: real clients at the child, index, hub or origin behind the parent."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stands.clients import Installer
from stands.hub import Hub
from stands.hub_clients import Unavailable, hub_client
from stands.index import Index
from stands.node import Node, Table, eventually
from stands.origin import Origin
from stands.ports import reserve

Below = Callable[..., Node]
ServeIndex = Callable[..., Node]
ServeHub = Callable[..., Node]
StartNode = Callable[..., Node]


@pytest.fixture
def below(start_node: StartNode) -> Below:
    """Start a node with sites of its own, below `parent`, that never asks an origin."""
    names = (f"edge-{number}" for number in itertools.count())

    def start(parent: Node, sites: Sequence[Table], token: str = "") -> Node:
        above = {"name": "above", "url": parent.url(), "token": token, "connect_timeout": "1s"}
        sections = {"node": {"name": next(names)}, "upstream": {"origin": "never"}, "parent": [above]}
        return start_node(sites, sections)

    return start


def index_site(index: Index, **options: Any) -> Table:
    return {"name": "packages", "kind": "python-index", "mount": "/pypi", "index": index.url, **options}


def via(heads: Sequence[bytes]) -> set[bytes]:
    return {line for head in heads for line in head.split(b"\r\n") if line.lower().startswith(b"via:")}


def test_installers_at_a_child_get_everything_through_the_parent(
    serve_index: ServeIndex, below: Below, index: Index, current: Installer, tmp_path: Path
) -> None:
    parent = serve_index(index, {"node": {"name": "region"}, "listen": {"node_tokens": ["node-secret"]}})
    node = below(parent, [index_site(index)], "node-secret")
    done = current.install(node.url("/pypi/simple/"), tmp_path / "cold", "tree")
    assert done.status == 0, done.output
    exchanges = index.pages_server.journal.exchanges + index.files_server.journal.exchanges
    assert exchanges
    assert all(re.search(rb"edge-0, [12.]+ region", line) for line in via([e.head for e in exchanges]))
    assert index.repeated() == {}
    assert b"node-secret" not in b"".join(e.head for e in exchanges)
    # What the parent's own clients want is there already, and the other way round.
    asked = len(index.requests())
    done = current.install(parent.url("/pypi/simple/"), tmp_path / "parent", "tree")
    assert done.status == 0, done.output
    assert [target for _, target in index.requests()[asked:] if "/packages/" in target] == []
    index.down()
    another = below(parent, [index_site(index)], "node-secret")
    done = current.install(another.url("/pypi/simple/"), tmp_path / "warm", "tree")
    assert done.status == 0, done.output


def test_a_hub_client_at_a_child_gets_a_repository_through_the_parent(
    serve_hub: ServeHub, below: Below, hub: Hub, tmp_path: Path
) -> None:
    hub.add_model("acme/secret", private=True, readers=["alice"])
    parent = serve_hub(hub, {"node": {"name": "region"}})
    site = {"name": "hf", "kind": "huggingface", "mount": "/hf", "endpoint": hub.url}
    node = below(parent, [site])

    def visit(name: str, user: str, token: str = "") -> Any:
        try:
            return hub_client("2", node.url("/hf"), tmp_path / user, token=token).snapshot(name)
        except Unavailable as reason:
            pytest.skip(str(reason))

    tiny, secret = (hub.repositories["model", name].head for name in ("acme/tiny", "acme/secret"))
    done = visit("acme/tiny", "cold")
    assert done.files == tiny.digests, done
    assert all("region" in asked.get("via") for asked in hub.asked())
    done = visit("acme/secret", "alice", "hf_alice")
    assert done.files == secret.digests, done
    assert not visit("acme/secret", "bob", "hf_bob").ok
    assert not visit("acme/secret", "nobody").ok
    hub.down()
    another = below(parent, [site])
    node = another
    done = visit("acme/tiny", "warm")
    assert done.files == tiny.digests, done


@pytest.fixture
def tier(start_node: StartNode, below: Below, origin: Origin) -> tuple[Node, Node]:
    """A parent and its child in front of an origin; at the child the site has another name and mount."""
    origin.put("/a", 3000, fields=[("Surrogate-Key", "news")])
    origin.put("/b", 3000)
    listen = {"http": [f"127.0.0.1:{reserve()}"]}  # the same when it starts again
    parent = start_node([{"name": "origin", "mount": "/o", "origin": origin.url}], {"listen": listen})
    node = below(parent, [{"name": "files", "mount": "/", "origin": origin.url}])
    assert eventually(lambda: followed(node)["gap"] == 1)
    return parent, node


def followed(node: Node) -> dict[str, float]:
    return {
        end: node.metric("followed_total", parent="above", end=end) for end in ("gap", "purged", "failed")
    }


def cache_status(node: Node, target: str) -> str:
    return node.get(target).get("cache-status").rpartition(",")[2]


def test_a_purge_at_the_parent_is_one_at_the_child(tier: tuple[Node, Node], origin: Origin) -> None:
    parent, node = tier
    purges = [("tag", "news"), ("url", "/o/a"), ("prefix", "/o/a"), ("site", "origin"), ("all", "")]
    for number, (scope, value) in enumerate(purges, 1):
        node.get("/a"), node.get("/b")
        assert "hit" in cache_status(node, "/a")
        parent.purge(scope, value)
        assert eventually(lambda: followed(node)["purged"] == number), scope  # noqa: B023
        assert "fwd=uri-miss" in cache_status(node, "/a"), scope
        assert origin.journal.count("/a") == number + 1
        assert ("hit" in cache_status(node, "/b")) is (scope not in ("all", "site"))


def test_a_purge_is_passed_on_and_stops_where_it_has_been(
    tier: tuple[Node, Node], below: Below, origin: Origin
) -> None:
    parent, node = tier
    lowest = below(node, [{"name": "low", "mount": "/", "origin": origin.url}])
    lowest.get("/a")
    assert eventually(lambda: followed(lowest)["gap"] == 1)
    parent.purge("tag", "news", soft=True)
    assert eventually(lambda: followed(lowest)["purged"] == 1)
    assert "fwd=stale" in cache_status(lowest, "/a")
    assert followed(node)["purged"] == 1


def test_what_happens_while_either_is_away_is_caught_up_with(tier: tuple[Node, Node]) -> None:
    parent, node = tier
    node.get("/a"), node.get("/b")
    node.stop()
    parent.purge("tag", "news")
    parent.restart()
    node.start()
    assert eventually(lambda: followed(node)["purged"] == 1)
    assert "fwd=uri-miss" in cache_status(node, "/a")
    assert "hit" in cache_status(node, "/b")
    assert followed(node)["gap"] == 0


def test_a_parent_that_has_lost_its_log_makes_stale_what_came_from_it(tier: tuple[Node, Node]) -> None:
    parent, node = tier
    node.get("/a")
    parent.stop()
    (parent.cache / "purges.feed").unlink()
    parent.start()
    assert eventually(lambda: followed(node)["gap"] == 2)
    assert "fwd=stale; fwd-status=304" in cache_status(node, "/a")
