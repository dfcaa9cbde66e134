"""A disk that is full, refuses, or gives back other bytes than were written.

The law: storage trouble never reaches a client. Every answer is 200 with the right bytes, from the store
or from the origin. The RAM tier is kept tiny so that bodies do come from disk."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stands.node import Node, eventually
from stands.origin import Origin, bytes_of

StartNode = Callable[..., Node]
ON_DISK = {"memory": "64KiB", "memory_body": "1KiB", "retry_disk": "1s"}
SIZES = [1, 700, 5_000, 70_000, 300_000, 1_000_000, 2_500_000]


def publish(origin: Origin, count: int = 12) -> dict[str, bytes]:
    """Resources of many sizes; gives what each must be."""
    return {f"/d/{n}": origin.put(f"/d/{n}", SIZES[n % len(SIZES)] + n) for n in range(count)}


def all_right(node: Node, bodies: dict[str, bytes]) -> None:
    for path, body in bodies.items():
        answer = node.get(path)
        assert (answer.status, answer.complete) == (200, True), path
        assert answer.body == body, path


def site(origin: Origin) -> list[dict[str, str]]:
    return [{"name": "all", "mount": "/", "origin": origin.url}]


def stored_files(node: Node) -> list[Path]:
    """Files of the store that hold bodies."""
    return sorted(path for path in (node.cache / "bodies").rglob("*") if path.is_file())


def index_files(node: Node) -> list[Path]:
    """Files of the store that say what there is and what was purged."""
    return [p for p in node.cache.iterdir() if p.is_file() and ("index" in p.name or p.suffix == ".log")]


def flip(path: Path, dice: random.Random, bits: int = 1) -> None:
    with open(path, "r+b") as file:
        for _ in range(bits):
            place = dice.randrange(path.stat().st_size)
            byte = os.pread(file.fileno(), 1, place)[0]
            os.pwrite(file.fileno(), bytes([byte ^ (1 << dice.randrange(8))]), place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB and 200 inodes."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_costs_hits_and_nothing_else(
    start_node: StartNode, origin: Origin, small_disk: Path
) -> None:
    bodies = publish(origin, 40)
    node = start_node(site(origin), {"cache": {**ON_DISK, "directory": small_disk / "cache"}})
    for _ in range(2):
        all_right(node, bodies)
    subprocess.run(["mount", "-o", "remount,size=256m,nr_inodes=20000", str(small_disk)], check=True)
    assert eventually(lambda: stores_again(node, origin)), "nothing is stored although there is room again"


def stores_again(node: Node, origin: Origin) -> bool:
    path = f"/again/{random.randrange(1 << 40)}"
    body = origin.put(path, 500_000)
    assert node.get(path).body == body
    return node.get(path).body == body and origin.journal.count(path) == 1


def test_a_disk_out_of_inodes_costs_hits_and_nothing_else(
    start_node: StartNode, origin: Origin, small_disk: Path
) -> None:
    bodies = {f"/i/{n}": origin.put(f"/i/{n}", 3000) for n in range(300)}
    node = start_node(site(origin), {"cache": {**ON_DISK, "directory": small_disk / "cache"}})
    all_right(node, bodies)


def test_a_file_size_limit_gives_short_writes_and_right_answers(
    start_node: StartNode, origin: Origin
) -> None:
    bodies = publish(origin, 14)
    node = start_node(site(origin), {"cache": ON_DISK})
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    all_right(node, bodies)
    all_right(node, bodies)
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert eventually(lambda: stores_again(node, origin))


def test_bits_flipped_in_stored_bodies_are_noticed_after_a_restart(
    start_node: StartNode, origin: Origin
) -> None:
    bodies = publish(origin, 21)
    node = start_node(site(origin), {"cache": ON_DISK})
    all_right(node, bodies)
    for seed in range(4):
        node.stop()
        dice = random.Random(seed)
        files = stored_files(node)
        assert files, "nothing was stored"
        for path in files:
            flip(path, dice)
        node.start()
        all_right(node, bodies)


def test_bits_flipped_while_running_are_noticed(start_node: StartNode, origin: Origin) -> None:
    bodies = publish(origin, 21)
    node = start_node(site(origin), {"cache": ON_DISK})
    for seed in range(3):
        all_right(node, bodies)
        for path in stored_files(node):
            flip(path, random.Random(seed))
    all_right(node, bodies)


@pytest.mark.parametrize("bits", [1, 40, 4000])
def test_a_damaged_index_costs_hits_and_nothing_else(
    start_node: StartNode, origin: Origin, bits: int
) -> None:
    bodies = publish(origin, 14)
    node = start_node(site(origin), {"cache": ON_DISK})
    all_right(node, bodies)
    for seed in range(3):
        node.stop()
        assert index_files(node), "no index was found"
        for path in index_files(node):
            if path.stat().st_size:
                flip(path, random.Random(seed), bits)
        node.start()
        all_right(node, bodies)


def test_a_lost_index_costs_hits_at_most(start_node: StartNode, origin: Origin) -> None:
    bodies = publish(origin, 14)
    node = start_node(site(origin), {"cache": ON_DISK})
    all_right(node, bodies)
    node.stop()
    for path in index_files(node):
        path.unlink()
    node.start()
    all_right(node, bodies)
    all_right(node, bodies)


def _truncate(path: Path, _: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path, _: Path) -> None:
    os.truncate(path, 0)


def _extend(path: Path, _: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def _zeros(path: Path, _: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _remove(path: Path, _: Path) -> None:
    path.unlink()


def _directory(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def _symlink(path: Path, secret: Path) -> None:
    secret.write_bytes(b"S" * path.stat().st_size)
    path.unlink()
    path.symlink_to(secret)


def _fifo(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _unreadable(path: Path, _: Path) -> None:
    path.chmod(0)


def _other_file(path: Path, _: Path) -> None:
    """Another body of the same store, under this body's name."""
    bodies = next(parent for parent in path.parents if parent.name == "bodies")
    others = [other for other in sorted(bodies.rglob("*")) if other.is_file() and other != path]
    content = others[0].read_bytes()
    path.write_bytes(content)


DAMAGES = [_truncate, _empty, _extend, _zeros, _remove, _directory, _symlink, _fifo, _unreadable, _other_file]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_file_that_is_not_what_was_stored_is_never_served(
    start_node: StartNode, origin: Origin, tmp_path: Path, damage: Callable[[Path, Path], None], running: bool
) -> None:
    bodies = publish(origin, 14)
    node = start_node(site(origin), {"cache": ON_DISK})
    all_right(node, bodies)
    if not running:
        node.stop()
    files = stored_files(node)
    assert files, "nothing was stored"
    for path in files:
        if path.exists():
            damage(path, tmp_path / "secret")
    if not running:
        node.start()
    all_right(node, bodies)
    all_right(node, bodies)


def test_a_store_that_cannot_be_written_still_serves(start_node: StartNode, origin: Origin) -> None:
    bodies = publish(origin, 7)
    node = start_node(site(origin), {"cache": ON_DISK})
    all_right(node, bodies)
    while node.cache.exists():  # what is written behind may come into a folder just emptied
        shutil.rmtree(node.cache, ignore_errors=True)
    all_right(node, bodies)
    fresh = bytes_of("/late", 400_000)
    origin.put("/late", 400_000)
    assert node.get("/late").body == fresh


def test_the_store_keeps_its_limit(start_node: StartNode, origin: Origin) -> None:
    node = start_node(site(origin), {"cache": {**ON_DISK, "disk": "8MiB"}})
    largest = 0
    for number in range(30):
        body = origin.put(f"/fill/{number}", 1_000_000)
        assert node.get(f"/fill/{number}").body == body
        used = sum(p.stat().st_blocks * 512 for p in stored_files(node))
        largest = max(largest, used)
    assert eventually(lambda: node.metric("disk_bytes") <= 8 << 20)
    assert 4 << 20 < largest <= 11 << 20


def test_names_of_files_come_from_no_client(start_node: StartNode, origin: Origin) -> None:
    origin.prefixes["/"] = origin.paths.setdefault("/x", lambda exchange, wire: wire.close())
    origin.put("/x", 400_000)
    origin.prefixes["/"] = origin.paths["/x"]
    node = start_node(site(origin), {"cache": ON_DISK})
    for target in ("/%2e%2e/etc/passwd", "/a/../../evil", "/" + "long" * 500, "/\\..\\evil", "/evil%00x"):
        node.get(target)
    names = "".join(str(path.relative_to(node.cache)) for path in node.cache.rglob("*"))
    assert "evil" not in names
    assert "long" not in names
    assert "passwd" not in names
