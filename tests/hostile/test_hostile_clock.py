"""A clock that jumps: nothing becomes immortal, nothing breaks, and ages stay whole numbers from 0 up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stands.node import Node, eventually
from stands.origin import Origin

StartNode = Callable[..., Node]
LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
HOUR = 3600


class Clock:
    """What the node takes for the time: the real one and an offset that can be changed while it runs."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        self._file.write_text(f"{seconds:+d}")


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    if LIBRARY is None:
        pytest.skip("faketime is not installed")
    file = tmp_path / "offset"
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARY))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return Clock(file)


def start(start_node: StartNode, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Node:
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}])
    monkeypatch.delenv("LD_PRELOAD")  # the test itself and its other processes keep the real time
    return node


def asked(origin: Origin, node: Node, path: str) -> int:
    answer = node.get(path)
    assert (answer.status, answer.complete) == (200, True)
    age = answer.get("age", "0")
    assert age.isascii()
    assert age.isdigit()
    return origin.journal.count(path)


def test_an_hour_forward_makes_stale_and_an_hour_back_makes_nothing_immortal(
    start_node: StartNode, origin: Origin, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start(start_node, origin, monkeypatch)
    origin.put("/a", 1000)
    assert asked(origin, node, "/a") == 1
    assert asked(origin, node, "/a") == 1
    # A thread of the node that reads the offset at the same time can have another see none: ask again.
    clock.step(2 * HOUR)
    assert eventually(lambda: asked(origin, node, "/a") == 2), "its hour is over"
    clock.step(-24 * HOUR)
    asked(origin, node, "/a")
    clock.step(24 * HOUR)
    before = origin.journal.count("/a")
    assert eventually(lambda: asked(origin, node, "/a") == before + 1), "a day later it is not still fresh"


def test_the_node_stays_up_through_many_steps(
    start_node: StartNode, origin: Origin, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start(start_node, origin, monkeypatch)
    for step, offset in enumerate((HOUR, -HOUR, 365 * 24 * HOUR, -365 * 24 * HOUR, 0)):
        clock.step(offset)
        path = f"/step/{step}"
        body = origin.put(path, 50_000)
        for _ in range(3):
            answer = node.get(path)
            assert (answer.status, answer.body) == (200, body)
    assert eventually(lambda: node.status()["node"]["ready"])
