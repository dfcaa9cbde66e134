"""System calls on files that fail, one here and one there: no client ever notices, and nothing wrong is
kept. strace makes them fail in the running process."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from stands.node import Node, eventually
from stands.origin import Origin

StartNode = Callable[..., Node]
# Each answer opens its file anew, so that there are calls to fail.
CACHE = {
    "memory": "64KiB",
    "memory_body": "1KiB",
    "open_bodies": 0,
    "retry_disk": "1s",
    "small_body": "64KiB",
}
SIZES = [700, 30_000, 300_000, 2_500_000]
WRITING = ["pwritev", "pwrite64", "ftruncate", "fallocate", "renameat", "mkdirat", "openat"]
READING = ["pread64", "openat"]
REMOVING = ["unlinkat", "fdatasync", "fsync"]


def failing(node: Node, calls: list[str], error: str, when: str) -> AbstractContextManager[None]:
    """While inside, each of `calls` fails with `error` where `when` says: the n-th, or n+m, every m-th
    from there on (counted for each thread)."""
    return tampering(node, calls, f"error={error}:when={when}")


@contextmanager
def tampering(node: Node, calls: list[str], how: str) -> Iterator[None]:
    """Have strace do `how` to `calls` of the node while inside."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    injected = [f"--inject={call}:{how}" for call in calls]
    command = [strace, "-f", "-o", "/dev/null", f"--trace={','.join(calls)}", *injected, "-p", str(node.pid)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        if "attached" not in line:
            pytest.skip(f"strace cannot attach: {line.strip()}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def publish(origin: Origin, name: str) -> dict[str, bytes]:
    return {f"/{name}/{n}": origin.put(f"/{name}/{n}", size + n) for n, size in enumerate(SIZES)}


def all_right(node: Node, bodies: dict[str, bytes]) -> None:
    for path, body in bodies.items():
        answer = node.get(path, timeout=20)
        assert (answer.status, answer.complete) == (200, True), path
        assert answer.body == body, path


def is_kept(node: Node, origin: Origin, paths: list[str]) -> bool:
    before = len(origin.journal.exchanges)
    for path in paths:
        node.get(path)
    return len(origin.journal.exchanges) == before


@pytest.fixture
def node(start_node: StartNode, origin: Origin) -> Node:
    return start_node([{"name": "all", "mount": "/", "origin": origin.url}], {"cache": CACHE})


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EROFS", "EMFILE"])
@pytest.mark.parametrize("calls", [WRITING, REMOVING], ids=["writing", "removing"])
def test_writes_that_fail_cost_hits_and_nothing_else(
    node: Node, origin: Origin, calls: list[str], error: str
) -> None:
    bodies: dict[str, bytes] = {}
    for when in ("1", "2", "3+4", "1+1"):
        bodies |= publish(origin, f"w{when}")
        with failing(node, calls, error, when):
            all_right(node, bodies)
            all_right(node, bodies)
    all_right(node, bodies)
    fresh = publish(origin, "fresh")

    def stores_again() -> bool:
        all_right(node, fresh)
        return is_kept(node, origin, list(fresh))

    assert eventually(stores_again)
    if calls is WRITING:
        assert node.metric("storage_errors_total") > 0
    node.restart()
    all_right(node, {**bodies, **fresh})


@pytest.mark.parametrize("error", ["EIO", "EMFILE"])
def test_reads_that_fail_are_fetched_again(node: Node, origin: Origin, error: str) -> None:
    bodies = publish(origin, "r")
    all_right(node, bodies)
    assert eventually(lambda: is_kept(node, origin, list(bodies)))
    for when in ("1", "2+3", "1+1"):
        with failing(node, READING, error, when):
            all_right(node, bodies)
    all_right(node, bodies)
    assert node.metric("storage_errors_total") > 0
    node.restart()
    all_right(node, bodies)


def test_a_disk_that_is_slow_does_not_hold_up_what_is_in_ram(start_node: StartNode, origin: Origin) -> None:
    node = start_node(
        [{"name": "all", "mount": "/", "origin": origin.url}], {"cache": {**CACHE, "memory": "8MiB"}}
    )
    quick, big = origin.put("/quick", 500), origin.put("/big", 2_000_000)
    assert node.get("/quick").body == quick
    with tampering(node, ["pwritev", "pwrite64", "fdatasync", "renameat"], "delay_enter=200000"):
        assert node.get("/big", timeout=30).body == big
        assert all(node.get("/quick", timeout=5).body == quick for _ in range(50))
    assert node.metric("requests_total", cache="hit") >= 50
