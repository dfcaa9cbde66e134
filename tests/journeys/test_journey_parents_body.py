"""Parents that die, stall, truncate, lie or dawdle in the middle of a body: clients see a pause, or their
connection ends visibly; never a wrong byte."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stands.large_client import MIB, settled
from stands.large_origin import Large, put_large
from stands.node import Node, eventually
from stands.origin import Origin, Resource, bytes_of
from stands.ports import reserve
from stands.raw_client import RawAnswer
from stands.wire import Exchange, Wire

StartNode = Callable[..., Node]
SIZE = 40 * MIB + 4321
SHORT = {"connect_timeout": "1s", "head_timeout": "2s", "progress_timeout": "1s"}


def sites(origin: Origin, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "all", "mount": "/", "origin": origin.url, **options}]


def parent(url: str, name: str = "up", **options: Any) -> dict[str, Any]:
    return {"name": name, "url": url, **SHORT, **options}


@pytest.fixture
def mirror() -> Iterator[Origin]:
    """A stand-in parent: it has of the origin what is put there."""
    running = Origin()
    yield running
    running.stop()


@pytest.fixture
def large(origin: Origin) -> Large:
    return put_large(origin, "/model.bin", SIZE)


@pytest.fixture
def copy(mirror: Origin) -> Large:
    return put_large(mirror, "/model.bin", SIZE)


@pytest.fixture
def node(start_node: StartNode, origin: Origin, mirror: Origin) -> Node:
    return start_node(sites(origin), {"parent": [parent(mirror.url)]})


def in_background(node: Node, path: str) -> tuple[threading.Thread, list[RawAnswer]]:
    answers: list[RawAnswer] = []
    thread = threading.Thread(target=lambda: answers.append(node.get(path, timeout=60)))
    thread.start()
    return thread, answers


def fetched(node: Node) -> float:
    return node.metric("upstream_bytes_total")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_parent_that_goes_in_mid_body_is_noticed_by_nobody(
    start_node: StartNode, origin: Origin, how: signal.Signals
) -> None:
    large = put_large(origin, "/model.bin", SIZE, rate=20e6)
    top = start_node(sites(origin), {"listen": {"http": [f"127.0.0.1:{reserve()}"]}})
    edge = start_node(sites(origin), {"parent": [parent(top.url())]})
    reader, answers = in_background(edge, "/model.bin")
    assert eventually(lambda: fetched(edge) > 8 * MIB)
    os.kill(top.pid, how)
    if how is signal.SIGKILL:
        top.kill()
    reader.join()
    (answer,) = answers
    if how is signal.SIGSTOP:
        os.kill(top.pid, signal.SIGCONT)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.body == large.bytes()
    assert settled(edge)
    assert fetched(edge) <= SIZE + MIB, "much has been fetched twice"


@pytest.mark.parametrize(
    "fault",
    [
        {"cut": 9 * MIB, "faults": 1},
        {"cut": 9 * MIB, "faults": 1, "reset": True},
        {"stall": 9 * MIB, "faults": 1},
        {"cut": 1000, "faults": 99},
    ],
    ids=["cut", "reset", "stalled", "cut again and again"],
)
def test_the_rest_comes_from_the_next_candidate_at_the_byte_where_it_stopped(
    node: Node, large: Large, copy: Large, fault: dict[str, Any]
) -> None:
    for name, value in fault.items():
        setattr(copy, name, value)
    answer = node.get("/model.bin", timeout=60)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.body == large.bytes()
    assert settled(node)
    assert fetched(node) <= SIZE + MIB
    assert large.sent_bytes >= SIZE - 10 * MIB
    assert large.ranges_asked[0].startswith("bytes=")


@pytest.mark.parametrize("lie", ["whole", "content-range", "size"])
def test_a_parent_that_lies_about_a_range_is_left(node: Node, large: Large, copy: Large, lie: str) -> None:
    copy.lie = lie
    answer = node.get("/model.bin", [("Range", "bytes=5000000-5999999")])
    assert answer.complete
    whole = answer.status == 200
    assert answer.body == (large.bytes() if whole else large.bytes(5_000_000, 6_000_000))


def test_a_parent_with_another_version_gives_nothing_to_a_body_that_has_begun(
    node: Node, origin: Origin, mirror: Origin, large: Large, copy: Large
) -> None:
    copy.cut, copy.faults = 9 * MIB, 1
    put_large(mirror, "/other.bin", SIZE, seed=1)
    stale = put_large(mirror, "/model.bin", SIZE, seed=2, cut=9 * MIB)
    answer = node.get("/model.bin", timeout=60)
    assert answer.body in (stale.bytes(0, len(answer.body)), large.bytes(0, len(answer.body)))
    assert not answer.complete or answer.body in (stale.bytes(), large.bytes())
    again = node.get("/model.bin", timeout=60)
    assert (again.complete, again.body == large.bytes()) == (True, True)


async def _drip(exchange: Exchange, wire: Wire) -> None:
    """A head that looks right, then a byte now and then for ever."""
    import asyncio

    head = Resource(bytes_of("/small", 300_000))
    lines = [
        f"HTTP/1.1 200 OK\r\nETag: {head.etag}\r\nCache-Control: max-age=60\r\nContent-Length: 300000\r\n\r\n"
    ]
    await wire.send(lines[0].encode() + head.body[:1000])
    for position in range(1000, 2000):
        await wire.send(head.body[position : position + 1])
        await asyncio.sleep(0.05)
    await wire.until_gone()


def test_a_parent_that_dawdles_is_left_by_progress(node: Node, origin: Origin, mirror: Origin) -> None:
    body = origin.put("/small", 300_000)
    mirror.paths["/small"] = _drip
    answer = node.get("/small", timeout=20)
    assert (answer.status, answer.complete, answer.body == body) == (200, True, True)
    assert "slow" in str(node.status()["upstreams"]) or "in mid-body" in str(node.status()["upstreams"])


# -- wrong bytes -------------------------------------------------------------------------------


def wrong_copy(mirror: Origin, path: str, body: bytes) -> None:
    """One flipped byte, and a digest that tells what should have come."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    flipped = body[: len(body) // 3] + bytes([body[len(body) // 3] ^ 1]) + body[len(body) // 3 + 1 :]
    fields = (("Repr-Digest", f"sha-256=:{digest}:"),)
    mirror.paths[path] = Resource(flipped, fields=fields, etag=f'"{digest[:20]}"')


@pytest.mark.parametrize("size", [50_000, 700_000, 9 * MIB], ids=["small", "medium", "large"])
def test_one_wrong_byte_of_a_parent_completes_nowhere_and_the_right_body_comes_from_elsewhere(
    node: Node, origin: Origin, mirror: Origin, size: int
) -> None:
    body = bytes_of("/file", size)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    origin.put("/file", size, etag=f'"{digest[:20]}"')
    wrong_copy(mirror, "/file", body)
    first = node.get("/file")
    assert not first.complete or first.body == body, "a wrong body was completed"
    if size <= 64 << 10:
        assert first.body == body, "what nobody had seen could have been got from elsewhere"
    assert settled(node)
    again = node.get("/file", [("Range", f"bytes={len(first.body)}-")] if not first.complete else [])
    assert (again.status, again.complete, again.body == body) == (200, True, True)
    assert settled(node)
    assert origin.journal.count("/file") == 1, (
        "the right body was fetched once, before its client asked again"
    )
    assert mirror.journal.count("/file") == 1, "who sent wrong bytes was asked again"


def test_what_was_put_together_from_a_wrong_and_a_right_source_is_completed_to_nobody(
    node: Node, origin: Origin, mirror: Origin, tmp_path: Path
) -> None:
    """The parent breaks off after its wrong byte; the origin brings the rest."""
    size = 9 * MIB
    body = bytes_of("/file", size)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    origin.put("/file", size, etag=f'"{digest[:20]}"')
    wrong_copy(mirror, "/file", body)
    resource = mirror.paths["/file"]

    class Cut(Wire):
        async def send(self, data: bytes) -> None:
            await Wire.send(self, data)
            if self.exchange.sent > 5 * MIB:
                await self.close()

    async def cutting(exchange: Exchange, wire: Wire) -> None:
        wire.__class__ = Cut
        await resource(exchange, wire)

    mirror.paths["/file"] = cutting
    first = node.get("/file")
    assert not first.complete, "a wrong body was completed"
    assert settled(node)
    assert node.get("/file").body == body
    assert settled(node)
