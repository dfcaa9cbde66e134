"""Bytes that must not come together: of several variants, of several callers, of several versions; and
requests for pieces in every shape.

The law: who asks for a part of a representation gets that part of it, or no complete answer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from stands.large_client import MIB, SLACK, begin, is_right, part_of, ranged, settled
from stands.large_origin import Large, multipart, put_large
from stands.node import Node, eventually
from stands.origin import Origin
from stands.raw_client import RawClient, request
from stands.wire import Exchange, Wire

StartNode = Callable[..., Node]


@pytest.fixture
def node(start_node: StartNode, origin: Origin) -> Node:
    return start_node([{"name": "all", "mount": "/", "origin": origin.url}])


def put_by_field(origin: Origin, path: str, name: str, bodies: dict[str, Large]) -> None:
    """Serve at `path` whichever body the request's field says."""

    async def answer(exchange: Exchange, wire: Wire) -> None:
        await bodies[exchange.get(name)](exchange, wire)

    origin.paths[path] = answer


@pytest.mark.parametrize(
    ("name", "fields", "cache_control"),
    [
        ("accept-language", [("Vary", "Accept-Language")], "max-age=3600"),
        ("authorization", [], "max-age=3600"),
        ("authorization", [], "private, max-age=3600"),
        ("cookie", [("Vary", "Cookie")], "max-age=3600"),
    ],
)
def test_ranges_of_what_differs_by_caller_are_never_mixed(
    node: Node, origin: Origin, name: str, fields: list[tuple[str, str]], cache_control: str
) -> None:
    callers = ["Basic YTph", "Basic YjpiCg==", "Basic Yzpj"]
    bodies = {
        caller: Large(20 * MIB, seed=n + 1, fields=fields, cache_control=cache_control, rate=40e6)
        for n, caller in enumerate(callers)
    }
    put_by_field(origin, "/v", name, bodies)

    def client(number: int) -> list[str]:
        dice, wrong = random.Random(number), []
        for _ in range(5):
            caller = callers[number % len(callers)]
            start, end = part_of(bodies[caller], dice)
            answer = ranged(node, "/v", start, end, (name, caller))
            if not (answer.complete and is_right(answer, bodies[caller], start, end)):
                wrong.append(f"{caller} {start}-{end}: {answer.status} {len(answer.body)} {answer.fields}")
        return wrong

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(client, range(6))) == [[]] * 6
    for caller, large in bodies.items():
        assert node.get("/v", [(name, caller)]).body == large.bytes()


def test_parts_of_what_may_not_be_stored_are_passed_on_and_forgotten(node: Node, origin: Origin) -> None:
    large = put_large(origin, "/n", 20 * MIB, cache_control="no-store")
    for _ in range(2):
        answer = ranged(node, "/n", 5_000_000, 5_000_100)
        assert (answer.status, answer.body) == (206, large.bytes(5_000_000, 5_000_100))
    assert node.get("/n").body == large.bytes()
    assert len(large.ranges_asked) == 3
    assert list((node.cache / "partial").iterdir()) == []


def test_a_weak_tag_binds_no_parts_together(node: Node, origin: Origin) -> None:
    old = put_large(origin, "/w", 20 * MIB, weak=True)
    assert ranged(node, "/w", 0, MIB).body == old.bytes(0, MIB)
    fresh = put_large(origin, "/w", 20 * MIB, seed=2, weak=True)
    fresh_tag = old.etag  # a weak tag may stay the same while bytes change
    assert fresh_tag.startswith("W/")
    assert ranged(node, "/w", MIB, 2 * MIB).body == fresh.bytes(MIB, 2 * MIB)
    assert node.get("/w").body == fresh.bytes()


def _shape(large: Large, dice: random.Random) -> tuple[str, list[tuple[int, int]]]:
    """A Range field of one to five satisfiable or unsatisfiable ranges, and what is satisfiable of it."""
    texts, bounds = [], []
    for _ in range(dice.choice([1, 1, 2, 3, 5])):
        start = dice.randrange(large.size + 1000)
        end = start + dice.choice([1, 10, 5000, 3 * MIB])
        match dice.randrange(5):
            case 0:
                length = min(large.size, end - start)
                texts.append(f"-{length}")
                bounds.append((large.size - length, large.size))
            case 1:
                tail = large.size - dice.choice([1, 100, MIB])
                texts.append(f"{tail}-")
                bounds.append((tail, large.size))
            case _:
                texts.append(f"{start}-{end - 1}")
                if start < large.size:
                    bounds.append((start, min(end, large.size)))
    return "bytes=" + ",".join(texts), bounds


def test_ranges_of_every_shape_give_right_bytes(node: Node, origin: Origin) -> None:
    large = put_large(origin, "/s", 30 * MIB + 99)
    for seed in range(60):
        dice = random.Random(seed)
        if seed % 20 == 19:
            node.purge("all")
        text, bounds = _shape(large, dice)
        answer = node.get("/s", [("Range", text)])
        assert answer.complete, text
        if answer.status == 200:
            assert answer.body == large.bytes(), text
        elif answer.status == 416:
            assert bounds == [], text
        elif answer.get("content-range"):
            assert answer.status == 206
            assert is_right(answer, large, *bounds[0]) or len(bounds) > 1, text
        else:
            for said, data in multipart(answer.body, answer.get("content-type")):
                first, last = said.removeprefix("bytes ").partition("/")[0].split("-")
                assert data == large.bytes(int(first), int(last) + 1), text
                assert (
                    any(start <= int(first) and int(last) < end for start, end in bounds) or len(bounds) > 1
                )


def test_offsets_beyond_four_gibibytes_are_exact(start_node: StartNode, origin: Origin) -> None:
    large = put_large(origin, "/far", 9 << 30)
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}], {"cache": {"disk": "20GiB"}})
    for start in ((4 << 30) - 500, (5 << 30) + 3, (8 << 30) - 1, (9 << 30) - 1000):
        for _ in range(2):
            answer = ranged(node, "/far", start, start + 1000)
            assert (answer.status, answer.body) == (206, large.bytes(start, start + 1000))
    assert settled(node)
    assert large.sent_bytes <= 6 * 4 * MIB
    node.restart()
    large.forget()
    assert ranged(node, "/far", (5 << 30) + 3, (5 << 30) + 999).body == large.bytes(
        (5 << 30) + 3, (5 << 30) + 999
    )
    assert large.sent_bytes == 0


def test_a_body_larger_than_the_store_is_passed_on_in_parts(start_node: StartNode, origin: Origin) -> None:
    large = put_large(origin, "/big", 3 << 30)
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}], {"cache": {"disk": "64MiB"}})
    before = node.resident_bytes()
    with ThreadPoolExecutor(4) as pool:
        starts = [0, 100 * MIB, (2 << 30) + 7, (3 << 30) - MIB]
        answers = list(pool.map(lambda start: ranged(node, "/big", start, start + MIB), starts))
    for start, answer in zip(starts, answers, strict=True):
        assert (answer.status, answer.body == large.bytes(start, start + MIB)) == (206, True)
    with begin(node, "/big", 100 * MIB) as client:
        client.reset()
    assert node.resident_bytes() - before < 60 * MIB
    assert large.sent_bytes < 200 * MIB


def test_a_range_far_ahead_of_a_running_fill_does_not_wait_for_it(node: Node, origin: Origin) -> None:
    large = put_large(origin, "/l", 40 * MIB, rate=4e6)
    with begin(node, "/l", MIB) as client:
        answer = ranged(node, "/l", 30 * MIB, 30 * MIB + 1000)
        assert (answer.status, answer.body) == (206, large.bytes(30 * MIB, 30 * MIB + 1000))
        assert large.sent[0][1] < 25 * MIB, "it waited for the fill to come there"
        head = node.get("/l", method="HEAD")
        assert (head.status, head.get("content-length")) == (200, str(large.size))
        assert node.get("/l", [("If-None-Match", large.etag)]).status == 304
        client.reset()


def test_clients_that_leave_large_bodies_leave_nothing(node: Node, origin: Origin) -> None:
    bodies = {f"/g/{n}": put_large(origin, f"/g/{n}", 30 * MIB, seed=n + 1, rate=20e6) for n in range(3)}
    put_large(origin, "/first", 3 * MIB)
    for _ in range(3):
        ranged(node, "/first", 0, 100)
    assert settled(node)
    before, dice = node.descriptors(), random.Random(1)
    clients = []
    for number in range(60):
        path = f"/g/{number % 3}"
        client = RawClient(node.http)
        start, end = part_of(bodies[path], dice)
        client.send(request(path, [("Range", f"bytes={start}-{end - 1}")] if number % 4 else []))
        if number % 2:
            client.read_some(100)
        clients.append(client)
    for client in clients:
        client.reset()
    assert settled(node)
    assert eventually(lambda: node.bodies_open() == []), node.bodies_open()
    # Connections to the origin are kept for the next request, and threads have the index open.
    assert eventually(lambda: node.descriptors() <= before + 24), (before, node.descriptors())
    assert eventually(lambda: node.metric("connections") <= 1)
    for path, large in bodies.items():
        large.rate = 0.0
        assert node.get(path).body == large.bytes()


def test_purges_at_any_moment_leave_whole_versions_only(node: Node, origin: Origin) -> None:
    """Each version is replaced and purged while clients read; what is begun after a purge is never older."""
    newest, wrong, until = [1], [], time.monotonic() + 4
    versions = {1: put_large(origin, "/p", 12 * MIB, seed=1, rate=60e6)}

    def reader(seed: int) -> None:
        dice = random.Random(seed)
        while time.monotonic() < until:
            least = newest[0]
            start, end = part_of(versions[1], dice)
            answer = node.get("/p") if dice.random() < 0.3 else ranged(node, "/p", start, end)
            if answer.status >= 500 or not answer.complete:
                continue
            seed_of = int(answer.get("etag").split("-")[1])
            bounds = (start, end) if answer.status == 206 else (0, 12 * MIB)
            if seed_of < least or not is_right(answer, versions[seed_of], *bounds):
                wrong.append(f"version {seed_of} of {least}: {answer.status} {answer.fields}")

    readers = [threading.Thread(target=reader, args=(n,)) for n in range(5)]
    for thread in readers:
        thread.start()
    while time.monotonic() < until:
        time.sleep(0.15)
        version = newest[0] + 1
        versions[version] = Large(12 * MIB, seed=version, rate=60e6)
        origin.paths["/p"] = versions[version]
        node.purge("all")
        newest[0] = version
    for thread in readers:
        thread.join()
    assert wrong == []
    assert settled(node)
    assert node.get("/p").body == versions[newest[0]].bytes()
    assert versions[newest[0]].sent_bytes <= 2 * versions[newest[0]].size + SLACK
