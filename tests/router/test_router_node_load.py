from __future__ import annotations

import time

import pytest
from router.router_server import until

from edgeproxy.router.node_load import TAKEN_SECONDS, Load, LoadLimits, NodeLoad, Usage, load_of
from edgeproxy.tasks import Tasks

LIMITS = LoadLimits(connections=100, bandwidth=1000.0, cores=2.0, lag_seconds=0.05)
BEFORE = Usage(0.0, 0, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Usage(10.0, 50, 0, 0.0, 0.0), Load(connections=0.5)),
        (Usage(10.0, 0, 9000, 0.0, 0.0), Load(bandwidth=0.9)),
        (Usage(10.0, 0, 0, 10.0, 0.0), Load(processor=0.5)),
        (Usage(10.0, 0, 0, 0.0, 0.1), Load(loop=2.0)),
        (Usage(0.0, 50, 9000, 1.0, 0.1), Load(connections=0.5)),  # no time has passed
        (Usage(10.0, 10**9, 0, 0.0, 0.0), Load(connections=10.0)),
    ],
)
def test_each_is_measured_by_its_limit(after: Usage, expected: Load) -> None:
    assert load_of(BEFORE, after, LIMITS) == expected


def test_the_most_used_one_counts() -> None:
    assert Load(0.1, 0.7, 0.3, 0.2).utilisation == 0.7


def test_what_has_no_limit_is_never_full() -> None:
    assert load_of(BEFORE, Usage(10.0, 50, 10**12, 0.0, 0.0), LoadLimits(0)).utilisation == 0.0


def test_a_load_is_that_of_the_time_since_the_last() -> None:
    now, sent = 0.0, 0
    node = NodeLoad(
        LIMITS, connections=lambda: 5, bytes_sent=lambda: sent, timer=lambda: now, processor=lambda: 0.0
    )
    now, sent = 10.0, 5000
    node.lateness.add(0.01)
    node.lateness.add(0.03)
    assert node.taken() == Load(0.05, 0.5, 0.0, pytest.approx(0.4))
    now = 20.0
    assert node.taken() == Load(0.05)


def test_a_node_that_has_just_started_is_as_full_as_its_connections() -> None:
    now, used = 0.0, 0.0
    node = NodeLoad(
        LIMITS, connections=lambda: 5, bytes_sent=lambda: 0, timer=lambda: now, processor=lambda: used
    )
    now, used = 0.1, 0.1  # all of a core, to start with
    assert node.taken() == Load(0.05)
    now = 1.0
    assert node.taken() == Load(0.05, 0.0, pytest.approx(0.05))


def test_who_asks_again_at_once_is_told_the_same() -> None:
    now, used = 0.0, 0.0
    node = NodeLoad(
        LIMITS, connections=lambda: 0, bytes_sent=lambda: 0, timer=lambda: now, processor=lambda: used
    )
    now, used = 10.0, 10.0
    assert node.taken().processor == 0.5
    now = 10.1
    assert node.taken().processor == 0.5
    now = 20.0
    assert node.taken().processor == 0.0


def test_what_other_processes_of_the_node_do_is_its_load_too() -> None:
    now = 0.0
    node = NodeLoad(
        LIMITS, connections=lambda: 0, bytes_sent=lambda: 0, timer=lambda: now, processor=lambda: now / 10
    )
    now = 10.0
    for _ in range(10):
        node.worked(1.0, 0.02)
    assert node.taken() == Load(0.0, 0.0, pytest.approx(0.55), pytest.approx(0.4))
    now = 20.0
    assert node.taken() == Load(0.0, 0.0, pytest.approx(0.05))


async def test_a_blocked_loop_is_noticed() -> None:
    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    node = NodeLoad(LIMITS, connections=lambda: 0, bytes_sent=lambda: 0, timer=time.monotonic)
    tasks.start(node.lateness.run(), "lag")
    blocked: list[float] = []

    def is_noticed() -> bool:
        time.sleep(0.1)  # what this is about: somebody blocks the loop
        blocked.append(node.taken().loop)
        return blocked[-1] > 0.5

    await until(is_noticed)
    await tasks.aclose()


def test_the_processor_is_counted_as_it_is() -> None:
    node = NodeLoad(LIMITS, connections=lambda: 0, bytes_sent=lambda: 0, timer=time.monotonic)
    end = time.monotonic() + TAKEN_SECONDS
    while time.monotonic() < end:
        pass
    assert 0 < node.taken().processor <= 1.0
