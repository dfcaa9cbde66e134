"""Disks that are full, refuse, or have no room for all that is read: large bodies.

The law: storage trouble never reaches a client, and a hole is never read as bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stands.large_client import MIB, drip, is_right, part_of, ranged, read_all, settled
from stands.large_origin import Large, put_large
from stands.node import Node, eventually
from stands.origin import Origin

StartNode = Callable[..., Node]


def site(origin: Origin) -> list[dict[str, object]]:
    return [{"name": "all", "mount": "/", "origin": origin.url}]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_in_the_middle_of_a_fill_stops_no_client(
    start_node: StartNode, origin: Origin, small_disk: Path
) -> None:
    large = put_large(origin, "/l", 64 * MIB + 3)
    node = start_node(site(origin), {"cache": {"directory": small_disk / "cache", "retry_disk": "1s"}})
    node.get("/missing")
    most = [node.resident_bytes()]
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_all, node, "/l", large, seed) for seed in range(4)]
        while not all(reader.done() for reader in readers):
            most.append(node.resident_bytes())
            time.sleep(0.05)
        assert [reader.result() for reader in readers] == [""] * 4
    assert max(most) - most[0] < 120 * MIB
    assert settled(node)
    assert node.metric("disk_responses") == 0, "something half was published"
    node.stop()
    node.start()
    assert read_all(node, "/l", large, 9) == ""


@pytest.mark.parametrize("orderly", [True, False])
def test_a_node_starts_on_a_disk_that_is_full(
    start_node: StartNode, origin: Origin, small_disk: Path, orderly: bool
) -> None:
    large = put_large(origin, "/l", 8 * MIB)
    node = start_node(site(origin), {"cache": {"directory": small_disk / "cache", "retry_disk": "1s"}})
    assert node.get("/l").body == large.bytes()
    assert settled(node)
    node.stop() if orderly else node.kill()
    with contextlib.suppress(OSError), open(small_disk / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    node.start()
    assert read_all(node, "/l", large, 1) == ""
    (small_disk / "filler").unlink()
    fresh = put_large(origin, "/new", 5 * MIB)

    def is_stored() -> bool:
        assert node.get("/new").body == fresh.bytes()
        before = len(fresh.ranges_asked)
        assert node.get("/new").body == fresh.bytes()
        return len(fresh.ranges_asked) == before

    assert eventually(is_stored), "nothing is stored although there is room again"


def test_a_file_size_limit_in_the_middle_of_a_fill_stops_no_client(
    start_node: StartNode, origin: Origin
) -> None:
    large = put_large(origin, "/l", 48 * MIB + 3, rate=80e6)
    node = start_node(site(origin), {"cache": {"retry_disk": "1s"}})
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (10 * MIB + 123, resource.RLIM_INFINITY))
    before = node.resident_bytes()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: read_all(node, "/l", large, seed), range(4))) == [""] * 4
    assert node.resident_bytes() - before < 120 * MIB
    assert settled(node)
    assert node.metric("disk_responses") == 0, "something half was published"
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    large.rate = 0.0

    def is_stored() -> bool:
        assert read_all(node, "/l", large, 5) == ""
        return node.metric("disk_responses") == 1

    assert eventually(is_stored), "nothing is stored although it could be again"


def _read_at_random(
    node: Node, bodies: dict[str, Large], digests: dict[str, str], until: float, seed: int
) -> tuple[int, list[str]]:
    """Wholes and ranges until the moment comes: how many, and what was wrong."""
    dice, count, wrong = random.Random(seed), 0, []
    while time.monotonic() < until:
        path = dice.choice(list(bodies))
        large = bodies[path]
        if dice.random() < 0.2:
            answer = node.get(path, timeout=40)
            is_fine = hashlib.sha256(answer.body).hexdigest() == digests[path]
        else:
            start, end = part_of(large, dice)
            answer = ranged(node, path, start, end)
            is_fine = is_right(answer, large, start, end)
        count += 1
        if not (answer.complete and is_fine):
            wrong.append(f"{path}: {answer.status} {len(answer.body)} {answer.ended} {answer.fields}")
    return count, wrong


def _is_punched(node: Node) -> bool:
    """Whether a whole body has lost a part of what it had."""
    for path in (node.cache / "partial").iterdir():
        with contextlib.suppress(OSError):
            found = path.stat()
            if found.st_blocks * 512 < found.st_size - 4 * MIB:
                return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("disk", [150, 240])
def test_bodies_evicted_piece_by_piece_while_they_are_read_are_never_wrong(
    start_node: StartNode, origin: Origin, disk: int
) -> None:
    bodies = {f"/e/{n}": put_large(origin, f"/e/{n}", (66 + 3 * n) * MIB + n, seed=n + 1) for n in range(4)}
    digests = {path: large.sha256() for path, large in bodies.items()}
    node = start_node(site(origin), {"cache": {"disk": f"{disk}MiB"}})
    for path, large in bodies.items():
        assert node.get(path, timeout=40).body == large.bytes()
    assert _is_punched(node) == (disk == 240), "what is least recently read of a body goes first"
    until = time.monotonic() + 4
    with ThreadPoolExecutor(6) as pool:
        slow = [
            pool.submit(drip, node.http, f"/e/{n}", bodies[f"/e/{n}"], 12e6, time.monotonic() + 60)
            for n in (1, 2)
        ]
        readers = [
            pool.submit(_read_at_random, node, bodies, digests, until, disk + seed) for seed in range(4)
        ]
        results = [reader.result() for reader in readers]
        assert [reader.result()[1] for reader in slow] == [True, True]
    assert [wrong for _, found in results for wrong in found] == []
    assert sum(count for count, _ in results) > 20
    assert settled(node)
    assert eventually(lambda: node.metric("disk_bytes") <= disk * MIB)
    for path, large in bodies.items():
        start = large.size // 2
        assert ranged(node, path, start, start + 5 * MIB).body == large.bytes(start, start + 5 * MIB)
