"""A private and a public index behind one mount: pip and uv see one index, and no name changes hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stands.clients import Installer
from stands.index import Index
from stands.node import Node, eventually
from stands.wheels import wheel

ServeIndex = Callable[..., Node]
JSON = ("Accept", "application/vnd.pypi.simple.v1+json")


@pytest.fixture
def private() -> Iterator[Index]:
    """An index that has `acme`, which needs a public project, and an `alpha` of its own."""
    running = Index([wheel("acme", "1.0", requires=["gamma"]), wheel("alpha", "0.1")])
    yield running
    running.stop()


@pytest.fixture
def serve_both(serve_index: ServeIndex, private: Index, index: Index) -> ServeIndex:
    def serve(**options: Any) -> Node:
        hosts = [private.files_url, index.files_url]
        return serve_index(private, upstreams=[index.url], link_hosts=hosts, **options)

    return serve


def page(node: Node, project: str) -> Any:
    return node.get(f"/pypi/simple/{project}/", [JSON])


def asked_of(index: Index, project: str) -> list[str]:
    return [target for _, target in index.requests() if project in target]


def answers_alone(node: Node, index: Index, project: str) -> bool:
    """Whether a page is served without asking `index`. An answer of the private one holds for a moment."""
    asked = len(index.requests())
    answer = page(node, project)
    assert answer.status == 200
    return len(index.requests()) == asked and "hit" in answer.get("cache-status")


def test_installs_take_each_project_from_its_owner(
    serve_both: ServeIndex, private: Index, index: Index, current: Installer, tmp_path: Path
) -> None:
    node = serve_both()
    done = current.install(node.url("/pypi/simple/"), tmp_path / "cold", "acme", "alpha")
    assert done.status == 0, done.output
    # The public index has a higher alpha; it does not count.
    assert done.packages == {"acme": "1.0", "alpha": "0.1", "gamma": "0.2"}
    assert asked_of(index, "acme") == asked_of(index, "alpha") == []
    before = len(private.requests()), len(index.requests())
    again = current.install(node.url("/pypi/simple/"), tmp_path / "warm", "acme", "alpha")
    assert again.packages == done.packages
    assert (len(private.requests()), len(index.requests())) == before


def test_every_answer_tells_whose_it_is(serve_both: ServeIndex, private: Index, index: Index) -> None:
    node = serve_both()
    for _ in range(2):  # a miss, then a hit
        assert f"from {private.url}" in page(node, "alpha").get("cache-status")
        assert f"from {index.url}" in page(node, "beta").get("cache-status")
    explained = node.ask_admin("/api/v1/explain?url=/pypi/simple/beta/").decode()
    assert index.url in explained


def test_an_outage_of_the_private_index_hands_no_name_to_the_public_one(
    serve_both: ServeIndex, private: Index, index: Index
) -> None:
    node = serve_both(page_ttl="0s", revalidate_floor="0s", negative_ttl="0s")
    assert page(node, "gamma").status == 200
    private.down()
    refused = page(node, "alpha")
    assert refused.status == 503
    assert refused.get("retry-after")
    assert asked_of(index, "alpha") == []
    # What was the public index's so far is served from the store, and that index is not asked either.
    assert eventually(lambda: answers_alone(node, index, "gamma"))
    private.up()
    assert eventually(lambda: page(node, "alpha").status == 200)  # a failure is remembered for a second


def test_a_name_stays_private_after_it_is_gone_and_after_a_restart(
    serve_both: ServeIndex, private: Index, index: Index
) -> None:
    node = serve_both(page_ttl="0s", revalidate_floor="0s", negative_ttl="0s")
    assert page(node, "alpha").status == 200
    del private.files["alpha"]
    node.kill()
    node.start()
    node.purge("all")
    assert page(node, "alpha").status == 404
    assert asked_of(index, "alpha") == []


def test_of_private_patterns_the_public_index_hears_nothing(
    serve_both: ServeIndex, private: Index, index: Index
) -> None:
    node = serve_both(private=["alph*", "Unknown_*"])
    assert page(node, "unknown-thing").status == 404
    assert page(node, "alpha").status == 200
    private.down()
    assert page(node, "unknown-other").status == 503
    assert asked_of(index, "alpha") == asked_of(index, "unknown") == []


def test_a_purge_of_a_project_asks_whose_it_is_again(
    serve_both: ServeIndex, private: Index, index: Index
) -> None:
    node = serve_both()
    assert page(node, "gamma").status == 200
    private.add(wheel("gamma", "9.0"))
    assert b"gamma-9.0" not in page(node, "gamma").body

    def purged() -> bytes:
        node.purge("tag", "project:gamma")
        return bytes(page(node, "gamma").body)

    assert eventually(lambda: b"gamma-9.0" in purged())


def test_offline_serves_what_either_has_brought(
    serve_both: ServeIndex, private: Index, index: Index, current: Installer, tmp_path: Path
) -> None:
    node = serve_both()
    done = current.install(node.url("/pypi/simple/"), tmp_path / "cold", "acme")
    assert done.status == 0, done.output
    node.stop()
    node.arguments.append("--offline")
    node.start()
    private.down()
    index.down()
    again = current.install(node.url("/pypi/simple/"), tmp_path / "offline", "acme")
    assert again.packages == done.packages, again.output
