"""Origins that lie, stall or break (RFC 9112 section 6.3, 8; RFC 9110 section 15).

The law: a client never completes wrong or partial bytes, and once the origin is well again it gets the
right ones; nothing of the bad time is served later."""

from __future__ import annotations

import threading
import time

import pytest
from stands.faults import BODY, FAULTS, ODDITIES, flapping, repeating, sending
from stands.node import Node, eventually
from stands.origin import Origin, Resource, Script, head
from stands.raw_client import PATIENCE_SECONDS, RawAnswer, RawClient, request

GOOD = Resource(BODY)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_shows_and_leaves_nothing_behind(node: Node, recording: Origin, name: str) -> None:
    path = f"/fault/{name.replace(' ', '-').replace(',', '')}"
    recording.paths[path] = FAULTS[name]
    answer = node.get(path, timeout=12)
    assert answer.ended != "timeout", "the client was left waiting"
    assert answer.status >= 500 or not answer.complete
    recording.paths[path] = GOOD
    healed = node.get(path)
    assert (healed.status, healed.body, healed.complete) == (200, BODY, True)
    assert node.get(path).body == BODY


@pytest.mark.parametrize("name", ODDITIES)
def test_what_follows_an_answer_is_nobodys_answer(node: Node, recording: Origin, name: str) -> None:
    path = f"/oddity/{name.replace(' ', '-')}"
    recording.paths[path] = ODDITIES[name]
    recording.put(f"{path}/next", 777)
    answer = node.get(path)
    assert answer.status >= 500 or not answer.complete or answer.body in (BODY, b"")
    for _ in range(3):
        following = node.get(f"{path}/next?{time.monotonic()}")
        assert (following.status, len(following.body)) == (200, 777)
    assert node.get(path).body != b"poisoned"


def test_every_waiter_learns_of_a_failure_at_once(node: Node, recording: Origin) -> None:
    recording.paths["/herd"] = sending(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", BODY[:10], end="reset"
    )
    answers: list[RawAnswer] = []
    began = time.monotonic()
    clients = [threading.Thread(target=lambda: answers.append(node.get("/herd"))) for _ in range(30)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert all(answer.status >= 500 or not answer.complete for answer in answers)
    assert recording.journal.count("/herd") <= 35


def test_nobody_wants_an_endless_body_any_more_and_it_is_given_up(node: Node, recording: Origin) -> None:
    endless = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
    recording.paths["/endless"] = repeating(endless, b"10000\r\n" + b"a" * 65536 + b"\r\n", 1_000_000, 0.002)
    with RawClient(node.http) as client:
        client.send(request("/endless"))
        assert client.read_some(100)
    assert eventually(lambda: recording.journal.to("/endless")[0].ended > 0)


def test_an_origin_that_drips_does_not_hold_up_others(node: Node, recording: Origin) -> None:
    slow = head(200, [("Content-Length", "1000"), ("Cache-Control", "max-age=60")])
    recording.paths["/drip"] = repeating(slow, b"x", 1000, 0.05)
    with RawClient(node.http) as client:
        client.send(request("/drip"))
        assert client.read_some(100)
        for _ in range(20):
            assert node.get("/alive").status == 200
        assert not recording.journal.to("/drip")[0].ended, "others waited for the fifty seconds that it takes"


def test_a_flapping_origin_never_yields_wrong_bytes(node: Node, recording: Origin) -> None:
    cut = sending(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nCache-Control: no-store\r\n\r\n", BODY[:5000]
    )
    recording.paths["/flapping"] = flapping(Resource(BODY, "no-store"), cut)
    answers = [node.get("/flapping") for _ in range(20)]
    assert all(answer.body == BODY for answer in answers if answer.status == 200 and answer.complete)
    assert any(answer.complete for answer in answers)


def test_stale_is_served_when_the_answer_allows_it_and_the_origin_breaks(
    node: Node, recording: Origin
) -> None:
    stale = Resource(BODY, "max-age=0, stale-if-error=600")
    for number, name in enumerate(["closed at once", "never answers", "length junk", "5000 headers"]):
        path = f"/stale/{number}"
        recording.paths[path] = Script(stale, FAULTS[name])
        assert node.get(path).body == BODY
        again = node.get(path)
        assert (again.status, again.body) == (200, BODY)


def test_a_304_refreshes_only_what_was_asked_about(node: Node, recording: Origin) -> None:
    other = sending(b'HTTP/1.1 304 Not\r\nETag: "other"\r\nCache-Control: max-age=600\r\n\r\n', end="keep")
    recording.paths["/lying304"] = Script(Resource(BODY, "max-age=0"), other, Resource(b"new" * 50))
    assert node.get("/lying304").body == BODY
    second = node.get("/lying304")
    assert second.status >= 500 or second.body in (BODY, b"new" * 50)
    assert node.get("/lying304").body == b"new" * 50


RANGE_LIES = {
    "other place": b"bytes 500-599/100000",
    "other length": b"bytes 0-9/100000",
    "no total": b"bytes 0-99/*",
    "backwards": b"bytes 99-0/100000",
    "beyond": b"bytes 0-99/50",
    "junk": b"pages 0-99/100000",
    "missing": b"",
}


@pytest.mark.parametrize("name", RANGE_LIES)
def test_a_206_that_is_not_what_was_asked_is_not_served_as_such(
    node: Node, recording: Origin, name: str
) -> None:
    line = b"Content-Range: " + RANGE_LIES[name] + b"\r\n" if RANGE_LIES[name] else b""
    lie = b'HTTP/1.1 206 Partial\r\nETag: "a"\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n'
    path = f"/rangelie/{name.replace(' ', '-')}"
    recording.paths[path] = sending(lie + line + b"\r\n", b"z" * 100, end="keep")
    answer = node.get(path, [("Range", "bytes=0-99")])
    honest = answer.get("content-range") == RANGE_LIES[name].decode() and name == "no total"
    assert answer.status >= 500 or not answer.complete or honest
    recording.paths[path] = GOOD
    assert node.get(path).body == BODY
    assert node.get(path, [("Range", "bytes=0-99")]).body == BODY[:100]


def test_the_origin_is_gone_and_comes_back(start_node, origin: Origin) -> None:  # type: ignore[no-untyped-def]
    body = origin.put("/kept", 300_000)
    node = start_node(
        [{"name": "all", "mount": "/", "origin": origin.url}], {"upstream": {"connect_timeout": "1s"}}
    )
    assert node.get("/kept").body == body
    origin.server.close()
    assert node.get("/kept").body == body
    assert node.get("/absent").status in (502, 503, 504)
    origin.server.open()
    origin.put("/absent", 10)
    assert eventually(lambda: node.get("/absent").status == 200)
