"""Origins, disks and ends of the process that come at the wrong moment of a large body.

The law: bytes shown as whole are right, whatever happened; what can go on, goes on."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stands.large_client import MIB, SLACK, begin, is_right, part_of, settled
from stands.large_origin import Large, put_large
from stands.node import Node, eventually
from stands.origin import Origin
from stands.raw_client import Broken

StartNode = Callable[..., Node]
PATIENCE = {"connect_timeout": "1s", "head_timeout": "1s", "progress_timeout": "1s"}


def site(origin: Origin) -> list[dict[str, object]]:
    return [{"name": "all", "mount": "/", "origin": origin.url}]


@pytest.fixture
def large(origin: Origin) -> Large:
    return put_large(origin, "/l", 24 * MIB + 77)


@pytest.fixture
def node(start_node: StartNode, origin: Origin) -> Node:
    return start_node(site(origin), {"upstream": PATIENCE})


# -- ends of the process -----------------------------------------------------------------------


def _load(node: Node, bodies: dict[str, Large], until: float, seed: int, wrong: list[str]) -> None:
    """Ask for ranges and wholes until the moment comes or the node is gone; note what is wrong."""
    dice = random.Random(seed)
    while time.monotonic() < until:
        path = dice.choice(list(bodies))
        large = bodies[path]
        start, end = part_of(large, dice)
        fields = [("Range", f"bytes={start}-{end - 1}")] if dice.random() < 0.8 else []
        try:
            answer = node.get(path, fields, timeout=5)
        except (OSError, Broken):
            return
        bounds = (start, end) if fields else (0, large.size)
        if answer.complete and not is_right(answer, large, *bounds):
            wrong.append(f"{path} {fields} {answer.status} {len(answer.body)}")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("sudden", [True, False], ids=["kill -9", "SIGTERM"])
def test_parts_survive_an_end_at_any_moment(start_node: StartNode, origin: Origin, sudden: bool) -> None:
    bodies = {f"/l/{n}": put_large(origin, f"/l/{n}", (30 + n) * MIB + n, seed=n + 1) for n in range(3)}
    node = start_node(site(origin), {"limits": {"drain_timeout": "1s"}})
    dice, wrong = random.Random(4), []
    for number in range(15 if sudden else 5):
        for large in bodies.values():
            large.rate = dice.choice([0.0, 30e6, 100e6])
        until = time.monotonic() + dice.uniform(0.02, 0.4)
        clients = [
            threading.Thread(target=_load, args=(node, bodies, until + 1, number * 8 + c, wrong))
            for c in range(4)
        ]
        for client in clients:
            client.start()
        time.sleep(max(0.0, until - time.monotonic()))
        node.kill() if sudden else node.stop()
        for client in clients:
            client.join()
        node.start()
        node.check()
    assert wrong == []
    for path, large in bodies.items():
        large.rate = 0.0
        answer = node.get(path)
        assert (answer.status, answer.body == large.bytes()) == (200, True), path


@pytest.mark.parametrize(("sudden", "lost"), [(True, 16 * MIB), (False, 6 * MIB)], ids=["kill -9", "SIGTERM"])
def test_little_of_what_is_there_in_part_is_fetched_again(
    start_node: StartNode, origin: Origin, sudden: bool, lost: int
) -> None:
    large = put_large(origin, "/l", 40 * MIB, rate=12e6)
    node = start_node(site(origin), {"limits": {"drain_timeout": "1s"}})
    client = begin(node, "/l", 24 * MIB)
    node.kill() if sudden else node.stop()
    assert client.wait_end() in ("eof", "reset")
    large.rate = 0.0
    large.forget()
    node.start()
    answer = node.get("/l")
    assert (answer.status, answer.body == large.bytes()) == (200, True)
    assert large.sent_bytes <= large.size - 24 * MIB + lost


def _partial_files(node: Node) -> list[Path]:
    return [path for path in (node.cache / "partial").rglob("*") if path.is_file()]


def test_bits_flipped_in_parts_while_stopped_are_never_served(start_node: StartNode, origin: Origin) -> None:
    large = put_large(origin, "/l", 64 * MIB + 5)
    node = start_node(site(origin))
    places = [0, 11 * MIB, 30 * MIB, 47 * MIB]
    for seed in range(3):
        for place in places:
            answer = node.get("/l", [("Range", f"bytes={place}-{place + 3 * MIB - 1}")])
            assert (answer.status, answer.body == large.bytes(place, place + 3 * MIB)) == (206, True)
        node.stop()
        files = _partial_files(node)
        assert files, "no part was kept"
        dice = random.Random(seed)
        for path in files:
            with open(path, "r+b") as file:
                for _ in range(40):
                    where = dice.choice(places) + dice.randrange(3 * MIB)
                    byte = os.pread(file.fileno(), 1, where) or b"\0"
                    os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << dice.randrange(8)]), where)
        node.start()
    assert node.get("/l").body == large.bytes()


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone", "longer"])
def test_a_damaged_partial_file_is_never_served(start_node: StartNode, origin: Origin, damage: str) -> None:
    large = put_large(origin, "/l", 32 * MIB + 5)
    node = start_node(site(origin))
    text = [("Range", f"bytes=0-{9 * MIB - 1}")]
    assert node.get("/l", text).status == 206
    node.stop()
    for path in _partial_files(node):
        match damage:
            case "cut":
                os.truncate(path, 5 * MIB)
            case "zeros":
                path.write_bytes(bytes(path.stat().st_size))
            case "gone":
                path.unlink()
            case "longer":
                os.truncate(path, 2 * large.size)
    node.start()
    assert node.get("/l", text).body == large.bytes(0, 9 * MIB)
    assert node.get("/l").body == large.bytes()


# -- origins -----------------------------------------------------------------------------------


def test_an_origin_that_cuts_every_answer_is_asked_for_the_rest(node: Node, large: Large) -> None:
    large.cut = 3 * MIB
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: node.get("/l").body == large.bytes(), range(5)))
    assert answers == [True] * 5
    assert large.sent_bytes <= large.size + SLACK


def test_an_origin_that_ends_early_is_asked_for_the_rest_as_long_as_that_leads_on(
    node: Node, large: Large
) -> None:
    large.cut = 400_000
    assert node.get("/l").body == large.bytes()


def test_an_origin_that_breaks_off_every_answer_costs_time_and_nothing_else(node: Node, large: Large) -> None:
    large.cut, large.reset = 3 * MIB, True
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: node.get("/l").body == large.bytes(), range(5)))
    assert answers == [True] * 5


def test_an_origin_that_falls_silent_is_asked_again(node: Node, large: Large) -> None:
    large.stall, large.faults = 5 * MIB, 2
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: node.get("/l").body == large.bytes(), range(5)))
    assert answers == [True] * 5
    assert large.sent_bytes <= large.size + SLACK


def test_an_origin_that_is_away_for_three_seconds_is_waited_for(
    node: Node, origin: Origin, large: Large
) -> None:
    large.rate = 12e6
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(node.get, "/l") for _ in range(3)]
        assert eventually(lambda: large.sent_bytes > 5 * MIB)
        origin.server.close()
        time.sleep(2.5)
        origin.server.open()
        large.rate = 0.0
        assert [reader.result().body == large.bytes() for reader in readers] == [True] * 3
    assert large.sent_bytes <= large.size + SLACK


def test_a_body_that_changes_in_the_middle_is_never_mixed(node: Node, origin: Origin, large: Large) -> None:
    large.cut, large.rate = 8 * MIB, 16e6
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(node.get, "/l") for _ in range(3)]
        assert eventually(lambda: large.sent_bytes > 5 * MIB)
        fresh = put_large(origin, "/l", large.size, seed=2)
        answers = [reader.result() for reader in readers]
    for answer in answers:
        assert not answer.complete, "bytes of two versions, or of one that was not all there"
        assert large.bytes(0, len(answer.body)) == answer.body
    assert settled(node)
    for _ in range(2):
        answer = node.get("/l")
        assert (answer.complete, answer.body == fresh.bytes()) == (True, True)


def test_parts_of_a_body_that_has_changed_meanwhile_are_not_used(
    node: Node, origin: Origin, large: Large
) -> None:
    assert node.get("/l", [("Range", "bytes=0-5000000")]).body == large.bytes(0, 5_000_001)
    assert settled(node)
    fresh = put_large(origin, "/l", large.size, seed=2)
    for attempt in range(3):
        answer = node.get("/l")
        if answer.complete:
            assert answer.body == fresh.bytes()
            break
        assert attempt < 2, "the new version could not be had"
    assert node.get("/l", [("Range", "bytes=0-9")]).body == fresh.bytes(0, 10)


LIES = ["whole", "content-range", "size"]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_the_first_range_gives_right_bytes_or_none(node: Node, large: Large, lie: str) -> None:
    large.lie = lie
    for start, end in [(0, 1000), (9 * MIB, 10 * MIB)]:
        answer = node.get("/l", [("Range", f"bytes={start}-{end - 1}")])
        if answer.status < 400 and answer.complete:
            # Of a first range nobody can know that the size it tells is wrong; its bytes are right.
            is_unknown = lie == "size" and answer.status == 206 and answer.body == large.bytes(start, end)
            assert is_unknown or is_right(answer, large, start, end)
    assert settled(node)
    large.lie = ""
    assert node.get("/l").body == large.bytes()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_the_middle_gives_right_bytes_or_none(node: Node, large: Large, lie: str) -> None:
    large.cut, large.rate = 8 * MIB, 16e6
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(node.get, "/l") for _ in range(3)]
        assert eventually(lambda: large.sent_bytes > 5 * MIB)
        large.lie, large.cut = lie, 0
        time.sleep(0.6)
        large.lie, large.rate = "", 0.0
        answers = [reader.result() for reader in readers]
    for answer in answers:
        assert answer.body == large.bytes(0, len(answer.body))
        assert answer.complete == (len(answer.body) == large.size)
        assert answer.complete or lie == "size", "it could have been had"
    assert settled(node)
    assert node.get("/l").body == large.bytes()


@pytest.mark.parametrize(
    "options", [{"ranges": False}, {"validators": False}, {"ranges": False, "validators": False}]
)
def test_an_origin_without_ranges_or_validators_is_served_right(
    node: Node, origin: Origin, options: dict[str, bool]
) -> None:
    large = put_large(origin, "/plain", 20 * MIB + 3, rate=60e6, **options)
    dice = random.Random(3)
    parts = [part_of(large, dice) for _ in range(6)]

    def part(bounds: tuple[int, int]) -> bool:
        answer = node.get("/plain", [("Range", f"bytes={bounds[0]}-{bounds[1] - 1}")])
        return answer.complete and is_right(answer, large, *bounds)

    with ThreadPoolExecutor(8) as pool:
        wholes = [pool.submit(lambda: node.get("/plain").body == large.bytes()) for _ in range(2)]
        assert list(pool.map(part, parts)) == [True] * 6
        assert [whole.result() for whole in wholes] == [True] * 2
    assert settled(node)
    large.forget()
    assert node.get("/plain").body == large.bytes()
    assert large.ranges_asked == []


def test_without_validators_bytes_of_two_versions_are_never_mixed(node: Node, origin: Origin) -> None:
    old = put_large(origin, "/plain", 20 * MIB, validators=False, cut=7 * MIB)
    assert not node.get("/plain").complete
    fresh = put_large(origin, "/plain", old.size, seed=2, validators=False)
    assert node.get("/plain").body == fresh.bytes()
    assert node.get("/plain", [("Range", "bytes=5-9")]).body == fresh.bytes(5, 10)
