from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.busy import judged, watched
from benchmarks.load import Run


def rounds(rate: float, busy: float) -> list[dict[str, float]]:
    return [{"rate": rate, "busy": busy}] * 3


@pytest.mark.parametrize(
    ("ours", "theirs", "by_core", "expected"),
    [
        (rounds(200, 1.0), rounds(100, 0.95), None, (2.0, "")),
        (rounds(200, 0.5), rounds(100, 1.0), None, (4.0, " by processor time")),
        (rounds(200, 1.0), rounds(100, 0.5), None, (1.0, " by processor time")),
        (rounds(200, 0.5), rounds(100, 1.0), False, (2.0, "")),
        (rounds(200, 1.0), rounds(100, 1.0), True, (2.0, " by processor time")),
        # Too short to be measured: nothing to divide by.
        (rounds(200, 0.0), rounds(100, 1.0), None, (2.0, "")),
    ],
)
def test_who_is_not_busy_is_judged_by_processor_time(
    ours: Any, theirs: Any, by_core: bool | None, expected: tuple[float, str]
) -> None:
    assert judged(ours, theirs, "rate", by_core) == expected


def test_a_run_is_told_with_the_shares_of_its_core() -> None:
    spent = iter((3.0, 3.5))
    server: Any = SimpleNamespace(cpu_seconds=lambda: next(spent))
    found = watched(server, lambda: Run(seconds=2.0, requests=10, bytes=4000, errors=1, timeouts=2))
    assert (found["requests_per_second"], found["bytes_per_second"], found["failures"]) == (5.0, 2000.0, 3)
    assert found["busy"] > 0
    assert found["load_busy"] >= 0
