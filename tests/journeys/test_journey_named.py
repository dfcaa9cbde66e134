"""A parent asked under the names of its upstreams: raw requests, as any cache below it would send them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from stands.hub import Hub
from stands.index import HTML_TYPE, JSON_TYPE, Index
from stands.node import Node
from stands.origin import Origin, echo
from stands.raw_client import RawAnswer, fetch

StartNode = Callable[..., Node]
ServeIndex = Callable[..., Node]
ServeHub = Callable[..., Node]
NODE = ("Edge-Node", "edge-7")
FORMS = ("Accept", f"{JSON_TYPE}, {HTML_TYPE};q=0.2, text/html;q=0.1")
GZIP = ("Accept-Encoding", "gzip")
FOR_CACHES = {"cache-tag", "surrogate-key", "edge-purges"}


def named(node: Node, url: str, *fields: tuple[str, str], method: str = "GET") -> RawAnswer:
    """What the node says to a request for `url` as it would go to the origin itself."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return node.get(target, [("Host", parts.netloc), *fields], method)


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


# -- any origin --------------------------------------------------------------------------------


@pytest.fixture
def files(start_node: StartNode, origin: Origin) -> Node:
    """A site whose mount is not the root, so that a name can be told from a mount."""
    return start_node([{"name": "files", "mount": "/files", "origin": f"{origin.url}/pub"}])


def test_a_name_and_a_mount_share_what_is_stored(files: Node, origin: Origin) -> None:
    body = origin.put("/pub/a", 5000, fields=[("Surrogate-Key", "one two"), ("X-Own", "yes")])
    first = named(files, f"{origin.url}/pub/a")
    assert (first.status, first.body, first.get("x-own")) == (200, body, "yes")
    assert "hit" in files.get("/files/a").get("cache-status")
    assert origin.journal.count("/pub/a") == 1


def test_what_lies_outside_the_configured_path_is_not_answered_by_name(files: Node, origin: Origin) -> None:
    origin.put("/secret", 10)
    assert named(files, f"{origin.url}/secret").status == 404
    assert named(files, f"{origin.url}/pub/../secret").status == 400
    assert named(files, f"{origin.url}/pub").status == 404
    assert named(files, f"{origin.url}/secret", NODE).status == 421
    assert origin.journal.exchanges == []


def test_a_node_is_never_answered_from_a_mount(start_node: StartNode, origin: Origin) -> None:
    """A mount answers under any name: a node would keep its bytes as those of another origin."""
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}])
    origin.put("/a", 10)
    assert named(node, "http://other.example/a").status == 200
    assert named(node, "http://other.example/a", NODE).status == 421
    assert named(node, f"{origin.url}/a", NODE).body == node.get("/a").body


def test_an_absolute_target_tells_the_scheme(files: Node, origin: Origin) -> None:
    body = origin.put("/pub/a", 10)
    assert files.get(f"{origin.url}/pub/a").body == body
    assert files.get(f"{origin.url.replace('http:', 'https:')}/pub/a").status == 421


def test_a_node_is_told_what_caches_are_told_and_a_client_is_not(files: Node, origin: Origin) -> None:
    body = origin.put("/pub/a", 5000, fields=[("Surrogate-Key", "one two"), ("Cache-Tag", "three")])
    first, second = named(files, f"{origin.url}/pub/a", NODE), named(files, f"{origin.url}/pub/a", NODE)
    assert first.get("cache-tag") == second.get("cache-tag") == "one, two, three"
    assert re.fullmatch(r"0; epoch=[0-9a-f]+", first.get("edge-purges"))
    assert second.get("repr-digest") == digest(body)
    for _ in range(3):  # from the store and from the memo alike
        answer = files.get("/files/a")
        assert FOR_CACHES & {name for name, _ in answer.fields} == set()
    files.purge("tag", "two")
    third = named(files, f"{origin.url}/pub/a", NODE)
    assert "fwd=uri-miss" in third.get("cache-status")
    assert third.get("edge-purges").startswith("1;")


def test_neither_marker_nor_token_reaches_the_origin_or_the_log(
    start_node: StartNode, origin: Origin
) -> None:
    origin.prefixes["/"] = echo
    site = {"name": "all", "mount": "/", "origin": origin.url}
    node = start_node([site], {"listen": {"node_tokens": ["first-secret", "second-secret"]}})
    fields = [NODE, ("Proxy-Authorization", "Bearer second-secret")]
    said = named(node, f"{origin.url}/a", *fields)
    assert (said.status, b"edge-7" in said.body, b"secret" in said.body) == (200, False, False)
    node.get("/b", fields=[("Proxy-Authorization", "Bearer second-secret")])
    node.get("/c", fields=[("Proxy-Authorization", "Bearer second-secret")], method="POST")
    node.stop()
    sent = b"".join(exchange.head for exchange in origin.journal.exchanges)
    assert b"secret" not in sent
    assert b"edge-node" not in sent.lower()
    assert "secret" not in node.access_file.read_text() + node.stderr


WRONG = [
    [],
    ["Bearer wrong"],
    ["Bearer "],
    ["Basic Zmlyc3Qtc2VjcmV0Og=="],
    ["Bearer first-secret", "Bearer first-secret"],
    ["Bearer first-secret2"],
]


def test_without_a_token_nobody_asks_by_name(start_node: StartNode, origin: Origin) -> None:
    origin.put("/a", 10)
    site = {"name": "files", "mount": "/files", "origin": origin.url}
    node = start_node([site], {"listen": {"node_tokens": ["first-secret"]}})
    for given in WRONG:
        fields = [("Proxy-Authorization", value) for value in given]
        for answer in (named(node, f"{origin.url}/a", *fields), node.get(PURGES, fields)):
            assert answer.status == 407, given
            assert answer.get("proxy-authenticate").startswith("Bearer ")
        assert node.get("/files/a", fields).status == 200
    assert named(node, f"{origin.url}/a", ("Proxy-Authorization", "bearer first-secret")).status == 200


PURGES = "/.well-known/edgeproxy/purges"


def test_purges_are_told_in_order_and_across_a_restart(files: Node, origin: Origin) -> None:
    def told(query: str = "") -> dict[str, Any]:
        return dict(json.loads(files.get(f"{PURGES}{query}").body))

    start = told()
    assert start["complete"] is False
    files.purge("tag", "one")
    files.purge("url", "/files/a", soft=True)
    files.purge("site", "files")
    after = f"?epoch={start['epoch']}&after={start['number']}"
    page = told(after)
    assert page["complete"] is True
    assert [(p["scope"], p["value"], p["soft"]) for p in page["purges"]] == [
        ("tag", "one", False),
        ("url", f"{origin.url}/pub/a", True),
        ("prefix", f"{origin.url}/", False),
    ]
    files.restart()
    assert told(after) == page
    assert told(f"?epoch={start['epoch']}&after={page['number']}")["purges"] == []


# -- an index ----------------------------------------------------------------------------------


@pytest.mark.parametrize("html_only", [False, True])
def test_a_page_by_name_is_the_indexs_own_and_shares_the_store(
    serve_index: ServeIndex, index: Index, html_only: bool
) -> None:
    index.faults.html_only = html_only
    node = serve_index(index)
    ours = node.get("/pypi/simple/alpha/", [FORMS, GZIP])
    own = named(node, f"{index.url}alpha/", FORMS, GZIP)
    straight = index_answer(index, "/simple/alpha/")
    assert ours.status == own.status == 200
    assert own.body == straight.body != ours.body
    for name in ("content-type", "etag", "cache-control", "x-pypi-last-serial"):
        assert own.get(name) == straight.get(name)
    assert "hit" in own.get("cache-status")
    assert index.files_url.encode() in own.body
    asked = index.pages_server.journal.count("/simple/alpha/")
    assert asked == 2  # the node once, this test once


def index_answer(index: Index, target: str) -> RawAnswer:
    parts = urlsplit(index.url)
    return fetch((parts.hostname or "", parts.port or 0), target, [FORMS, GZIP])


def test_a_form_the_index_does_not_have_is_made_with_its_own_links(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index)
    page = named(node, f"{index.url}alpha/", ("Accept", "text/html"))
    assert page.get("content-type").startswith("text/html")
    links = re.findall(r'href="([^"#]+)', page.body.decode())
    assert sorted(links) == sorted(index.files_url + d.path for d in index.files["alpha"])


def test_files_and_sidecars_are_answered_under_the_name_of_a_host_that_pages_link_to(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index, link_hosts=[])
    wheel = index.file("alpha-1.1-py3-none-any.whl")
    url = index.files_url + wheel.path
    assert named(node, url).status == 404  # nobody has said yet that this host is one
    named(node, f"{index.url}alpha/", FORMS)
    first, sidecar = named(node, url, NODE), named(node, f"{url}.metadata", NODE)
    assert (first.status, first.body) == (200, wheel.content)
    assert first.get("etag") == f'"{hashlib.md5(wheel.content).hexdigest()}"'  # the host's own
    assert first.get("cache-tag") == "project:alpha"
    assert first.get("repr-digest") == digest(wheel.content)
    assert sidecar.body == wheel.metadata
    page = json.loads(node.get("/pypi/simple/alpha/", [FORMS]).body)
    mirrored = next(f["url"] for f in page["files"] if f["filename"] == wheel.filename)
    assert "hit" in node.get(urljoin("/pypi/simple/alpha/", mirrored)).get("cache-status")
    assert index.files_server.journal.count(wheel.path) == 1


def test_a_parent_that_began_anew_believes_a_node_so_far_that_it_looks_at_the_page(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index, link_hosts=[])
    wheel = index.file("alpha-1.1-py3-none-any.whl")
    named(node, f"{index.url}alpha/", FORMS, GZIP)
    node.restart()
    assert named(node, f"{index.url}alpha/", FORMS, GZIP).status == 200  # out of the store: teaches nothing
    assert named(node, index.files_url + wheel.path, NODE).body == wheel.content
    elsewhere = "http://files.elsewhere.example" + wheel.path
    assert named(node, elsewhere, NODE).status == 421


def test_wrong_bytes_are_not_completed_for_a_node_either(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    wheel = index.file("alpha-1.1-py3-none-any.whl")
    index.faults.wrong_files.add(wheel.filename)
    named(node, f"{index.url}alpha/", FORMS)
    answer = named(node, index.files_url + wheel.path, NODE)
    assert answer.status == 503 or not answer.complete


# -- a hub -------------------------------------------------------------------------------------


def test_a_hub_by_name_answers_as_the_hub_would(serve_hub: ServeHub, hub: Hub) -> None:
    node = serve_hub(hub)
    files = hub.repositories["model", "acme/tiny"].head.files
    path = next(path for path, file in files.items() if file.large)
    moved = named(node, f"{hub.url}/acme/tiny/resolve/main/{path}", method="HEAD")
    commit = moved.get("x-repo-commit")
    assert (moved.status, moved.get("location")) == (
        307,
        f"/acme/tiny/resolve/{commit}/{path}",
    )
    pinned = f"{hub.url}/acme/tiny/resolve/{commit}/{path}"
    first = named(node, pinned, NODE)
    assert (first.status, first.get("x-repo-commit")) == (200, commit)
    assert first.get("repr-digest") == digest(first.body)
    assert f"commit:{commit}" in first.get("cache-tag")
    again = node.get(f"/hf/acme/tiny/resolve/{commit}/{path}")
    assert again.body == first.body
    assert "hit" in again.get("cache-status")
    listed = named(node, f"{hub.url}/api/models/acme/tiny/revision/main", NODE)
    assert json.loads(listed.body)["sha"] == commit
    assert listed.get("cache-control") != "no-cache"


def test_who_may_read_is_asked_for_each_caller_of_a_node(serve_hub: ServeHub, hub: Hub) -> None:
    hub.add_model("acme/secret", private=True, readers=["alice"])
    node = serve_hub(hub)
    url = f"{hub.url}/acme/secret/resolve/main/config.json"
    statuses = [
        named(node, url, NODE, *fields).status
        for fields in ([("Authorization", "Bearer hf_alice")], [("Authorization", "Bearer hf_bob")], [])
    ]
    assert statuses == [307, 404, 401]


def test_hosts_that_keep_the_bytes_are_not_answered_for(serve_hub: ServeHub, hub: Hub) -> None:
    node = serve_hub(hub)
    assert named(node, f"{hub.servers['cdn'].url}/anything", NODE).status == 421
