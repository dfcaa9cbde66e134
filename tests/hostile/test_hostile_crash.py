"""kill -9 at any moment: what opens afterwards serves whole and right bytes, at once."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stands.node import Node, eventually
from stands.origin import Origin
from stands.raw_client import Broken, RawClient, request

StartNode = Callable[..., Node]
ROUNDS = 25
SIZES = [100, 3_000, 40_000, 200_000, 700_000, 3_000_000]


def temporary_files(node: Node) -> list[Path]:
    marks = ("tmp", "temp", "part", "partial", "new", "incoming")
    return [
        Path(folder, name)
        for folder, _, names in os.walk(node.cache)  # which minds no folder that goes meanwhile
        for name in names
        if any(mark in (Path(name).suffix.strip("."), Path(folder).name) for mark in marks)
    ]


def load(node: Node, bodies: dict[str, bytes], until: float, seed: int, wrong: list[str]) -> None:
    """Ask at random until the moment comes or the node is gone; note every wrong complete answer."""
    dice = random.Random(seed)
    while time.monotonic() < until:
        path = dice.choice(list(bodies))
        try:
            answer = node.get(path, timeout=5)
        except (OSError, Broken):
            return
        if answer.complete and (answer.status != 200 or answer.body != bodies[path]):
            wrong.append(f"{path} {answer.status} {len(answer.body)}")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_many_kills_leave_no_wrong_byte_and_no_slow_start(start_node: StartNode, origin: Origin) -> None:
    bodies = {f"/c/{n}": origin.put(f"/c/{n}", SIZES[n % len(SIZES)] + n, piece=65536) for n in range(64)}
    sites = [{"name": "all", "mount": "/", "origin": origin.url}]
    cache = {"memory": "256KiB", "memory_body": "8KiB", "disk": "30MiB"}
    node = start_node(sites, {"cache": cache})
    dice, wrong, slowest = random.Random(9), [], 0.0
    for number in range(ROUNDS):
        until = time.monotonic() + dice.uniform(0.005, 0.5)
        clients = [
            threading.Thread(target=load, args=(node, bodies, until + 1, number * 8 + c, wrong))
            for c in range(4)
        ]
        for client in clients:
            client.start()
        time.sleep(max(0.0, until - time.monotonic()))
        node.kill()
        for client in clients:
            client.join()
        node.start()
        path = dice.choice(list(bodies))
        assert node.get(path).body == bodies[path]
        slowest = max(slowest, node.cpu_seconds())  # of a core, which may have other work as well
        node.check()
    assert wrong == []
    assert slowest < 2
    for path, body in bodies.items():
        answer = node.get(path)
        assert (answer.status, answer.body) == (200, body)
    assert eventually(lambda: not temporary_files(node)), temporary_files(node)


def test_a_fill_that_was_killed_is_begun_again(start_node: StartNode, origin: Origin) -> None:
    body = origin.put("/half", 8_000_000, piece=100_000, piece_delay=0.02)
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}])
    with RawClient(node.http) as client:
        client.send(request("/half"))
        received = 0
        while received < 2_000_000:
            received += len(client.read_some(1 << 20))
        node.kill()
        assert client.wait_end() in ("eof", "reset")
    node.start()
    answer = node.get("/half")
    assert (answer.status, answer.body) == (200, body)


def test_what_was_complete_survives_a_kill(start_node: StartNode, origin: Origin) -> None:
    bodies = {f"/s/{n}": origin.put(f"/s/{n}", size) for n, size in enumerate(SIZES)}
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}])
    for path in bodies:
        node.get(path)
    assert eventually(lambda: node.metric("disk_responses") >= len(bodies))
    node.kill()
    node.start()
    for path, body in bodies.items():
        assert node.get(path).body == body
    assert all(origin.journal.count(path) == 1 for path in bodies)
