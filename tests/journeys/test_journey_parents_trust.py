"""Who parents and the nodes below them are to each other: certificates of both sides, pins, tokens; and what
a reload makes of that while clients ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stands.authority import Authority, Issued
from stands.node import Node, eventually
from stands.origin import Origin, counted
from stands.raw_client import RawAnswer

StartNode = Callable[..., Node]
SHORT = {"connect_timeout": "2s", "head_timeout": "2s", "progress_timeout": "2s"}


def sites(origin: Origin) -> list[dict[str, Any]]:
    return [{"name": "all", "mount": "/", "origin": origin.url}]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def source(answer: RawAnswer) -> str:
    """Whom the node had an answer from, by its Cache-Status."""
    said = answer.get("cache-status").rpartition("from ")[2]
    return said.split(";")[0].strip('"') if "from " in answer.get("cache-status") else "origin"


@pytest.fixture
def issued(authority: Authority) -> Issued:
    """The parent's certificate."""
    return authority.issue("top")


@pytest.fixture
def top(start_node: StartNode, origin: Origin, authority: Authority, issued: Issued) -> Node:
    """A parent over TLS that admits only nodes with a certificate of the authority."""
    tls = {
        "certificate": issued.certificate,
        "key": issued.key,
        "client_ca": authority.file,
        "client_certificates": "required",
    }
    listen = {"http": [], "https": ["127.0.0.1:0"]}
    return start_node(sites(origin), {"node": {"name": "top"}, "listen": listen, "tls": tls})


def above(top: Node, authority: Authority, **options: Any) -> dict[str, Any]:
    url = f"https://127.0.0.1:{top.https[1]}"
    return {"name": "up", "url": url, "ca_file": authority.file, **SHORT, **options}


def is_ejected_for_tls(node: Node) -> bool:
    """By a request, or by a probe where the origin was faster than the parent's refusal."""
    (row,) = [row for row in node.status()["upstreams"] if row["role"] == "parent"]
    return row["state"] == "ejected" and ("tls_" in row["why"] or "connection_terminated" in row["why"])


def test_a_parent_admits_a_node_that_shows_its_certificate_and_nobody_else(
    start_node: StartNode, origin: Origin, top: Node, authority: Authority, tmp_path: Path
) -> None:
    origin.paths["/small"] = counted([("Cache-Control", "max-age=60")])
    large = origin.put("/large", 5_000_000)
    known = authority.issue("edge")
    stranger = Authority(tmp_path, "another authority").issue("stranger")
    for own, expected in ((known, "up"), (None, "origin"), (stranger, "origin")):
        shown = {} if own is None else {"certificate": own.certificate, "key": own.key}
        node = start_node(sites(origin), {"parent": [above(top, authority, **shown)]})
        for target in ("/small", "/large"):
            answer = node.get(target)
            assert (answer.status, answer.complete, source(answer)) == (200, True, expected), target
        assert answer.body == large
        if own is None or own is stranger:
            assert eventually(lambda node=node: is_ejected_for_tls(node)), node.status()["upstreams"]
    assert eventually(lambda: [line for line in top.access_log() if line["url"] == "/small"])
    assert {line["version"] for line in top.access_log() if line["url"] == "/small"} == {"2"}
    assert top.metric("tls_handshake_failures_total", reason="certificate") > 0


class Asking:
    """Clients that ask without a rest for what is never stored; what went wrong is kept."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._over = threading.Event()
        self.sources: list[str] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        while not self._over.wait(0.005):
            answer = self._node.get(f"/{number}")
            self.sources.append(source(answer))
            if (answer.status, answer.complete) != (200, True):
                self.failures.append(f"{answer.status} {answer.get('proxy-status')}")

    def comes_to(self, expected: str) -> None:
        """Wait until everybody is answered by one source and no other."""
        assert eventually(lambda: set(self.sources[-20:]) == {expected}, 20), (
            expected,
            self.sources[-20:],
            self._node.status()["upstreams"],
        )
        assert self.failures == []

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def asking() -> Iterator[Callable[[Node], Asking]]:
    running: list[Asking] = []

    def start(node: Node) -> Asking:
        running.append(Asking(node))
        return running[-1]

    yield start
    for one in running:
        one.end()


@pytest.mark.parametrize("servers", [1, 2])
def test_parents_come_go_and_change_their_pins_and_no_request_fails(
    start_node: StartNode,
    origin: Origin,
    top: Node,
    issued: Issued,
    authority: Authority,
    asking: Any,
    servers: int,
) -> None:
    origin.prefixes["/"] = counted([("Cache-Control", "no-store")])
    own, other = authority.issue("edge"), authority.issue("other")
    pin, wrong = issued.pin, other.pin
    parent = above(top, authority, certificate=own.certificate, key=own.key)
    far = start_node(sites(origin), {"node": {"name": "far"}})
    second = {"name": "far", "url": far.url(), **SHORT}
    node = start_node(sites(origin), {"node": {"workers": servers}})
    running = asking(node)
    running.comes_to("origin")
    steps = [
        ([parent], "up"),
        ([{**parent, "pins": [wrong]}], "origin"),
        ([{**parent, "pins": [pin]}], "up"),
        ([{**parent, "pins": [wrong, pin], "certificate": other.certificate, "key": other.key}], "up"),
        ([{**parent, "preference": 1}, second], "far"),
        ([second], "far"),
        ([{**second, "name": "renamed", "token": "of-no-use"}], "renamed"),
        ([], "origin"),
    ]
    for parents, expected in steps:
        assert node.reload({"parent": parents})["reloaded"]
        running.comes_to(expected)
    assert len(running.sources) > 100


def test_another_token_is_used_by_a_reload_and_no_request_fails(
    start_node: StartNode, origin: Origin, asking: Any, tmp_path: Path
) -> None:
    origin.prefixes["/"] = counted([("Cache-Control", "no-store")])
    top = start_node(sites(origin), {"listen": {"node_tokens": ["first", "second", "third"]}})
    parent = {"name": "up", "url": top.url(), **SHORT}
    file = tmp_path / "token"
    node = start_node(sites(origin), {"parent": [{**parent, "token": "wrong"}]})
    running = asking(node)
    running.comes_to("origin")
    file.write_text("second\n")
    for options, expected in (({"token": "first"}, "up"), ({"token_file": file}, "up")):
        node.reload({"parent": [{**parent, **options}]})
        running.comes_to(expected)
    for text, expected in (("wrong\n", "origin"), ("third\n", "up")):
        file.write_text(text)
        assert node.reload()["changed"] == []
        running.comes_to(expected)
