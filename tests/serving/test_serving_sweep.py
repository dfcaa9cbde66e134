"""One coarse timer for the timeouts of all connections."""

from typing import Any

import pytest
from serving_stand import until

from edgeproxy.config import Limits
from edgeproxy.metrics import Metrics
from edgeproxy.serving.sweep import Sweep

QUICK = Limits(head_timeout=0.08)


class Waiting:
    """A connection that waits in a phase; its mark changes at each look if it makes progress."""

    def __init__(self, phase: str, allowed: float, *, moves: bool = False) -> None:
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0
        self.looks = 0
        self.expired: list[str] = []
        self.streams: list[Waiting] = []
        self._phase, self._allowed, self._moves = phase, allowed, moves

    def pulse(self) -> tuple[str, float, object, object]:
        self.looks += 1
        return self._phase, self._allowed, self.looks if self._moves else 0, None

    def expire(self, phase: str) -> None:
        self.expired.append(phase)


async def looked(*connections: Any, looks: int = 6) -> Metrics:
    metrics = Metrics()
    sweep = Sweep(set(connections), QUICK, metrics, lambda: None)
    sweep.start()
    try:
        await until(lambda: connections[0].looks >= looks)
    finally:
        sweep.stop()
    return metrics


async def test_a_wait_without_progress_is_ended_and_counted() -> None:
    stuck = Waiting("head", 0.03)
    metrics = await looked(stuck)
    assert set(stuck.expired) == {"head"}
    assert metrics.value("timeouts_total", "head") == len(stuck.expired)


@pytest.mark.parametrize(
    "connection", [Waiting("body", 0.03, moves=True), Waiting("body", 0), Waiting("body", 60)]
)
async def test_progress_a_wait_without_bound_and_a_wait_within_it_are_left_alone(connection: Any) -> None:
    await looked(connection)
    assert connection.expired == []


@pytest.mark.parametrize("phase", ["idle", "linger", "gone"])
async def test_an_end_that_is_nobodys_fault_is_not_counted(phase: str) -> None:
    connection = Waiting(phase, 0.03)
    metrics = await looked(connection)
    assert connection.expired
    assert metrics.value("timeouts_total", phase) == 0


async def test_it_runs_what_goes_with_it_and_stops_when_told() -> None:
    runs: list[int] = []
    sweep = Sweep(set(), QUICK, Metrics(), lambda: runs.append(1))
    sweep.start()
    await until(lambda: len(runs) >= 2)
    sweep.stop()
    assert sweep._timer is None
    sweep.stop()


async def test_streams_wait_each_for_itself() -> None:
    connection, stuck, moving = Waiting("busy", 0), Waiting("write", 0.03), Waiting("body", 0.03, moves=True)
    connection.streams = [stuck, moving]
    metrics = await looked(connection)
    assert set(stuck.expired) == {"write"}
    assert (moving.expired, connection.expired) == ([], [])
    assert metrics.value("timeouts_total", "write") == len(stuck.expired)
