"""Processes made, and made again."""

from __future__ import annotations

import os
import signal

import pytest

from edgeproxy.workers.children import REST_SECONDS_MAX, Revival, fork, how


def test_what_ends_now_and_then_is_there_again_at_once() -> None:
    revival = Revival()
    assert [revival.ended(now) for now in (0.0, 20.0, 40.0, 41.0, 42.0)] == [0.0, 20.0, 40.0, 41.0, 42.0]


def test_what_ends_again_and_again_waits_longer_and_longer_up_to_a_bound() -> None:
    revival = Revival()
    waits = [revival.ended(0.1 * n) - 0.1 * n for n in range(12)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[3:] == sorted(waits[3:])
    assert 0 < waits[3] <= 0.5
    assert waits[-1] == pytest.approx(REST_SECONDS_MAX)


@pytest.mark.parametrize(
    ("status", "expected"), [(0, "status 0"), (256 * 3, "status 3"), (signal.SIGKILL, "SIGKILL")]
)
def test_how_a_process_ended_is_told_in_words(status: int, expected: str) -> None:
    assert how(status) == expected


@pytest.mark.parametrize(
    ("result", "expected"), [(7, 7), (ValueError("a bug"), 1)], ids=["status", "failure"]
)
def test_a_child_runs_its_part_and_nothing_else(
    result: int | Exception, expected: int, capfd: pytest.CaptureFixture[str]
) -> None:
    closed: list[int] = []
    here = os.getpid()

    def main(link: object) -> int:
        assert closed == [os.getpid()]
        assert closed != [here]
        if isinstance(result, Exception):
            raise result
        return result

    child = fork("server 0", main, lambda: closed.append(os.getpid()))
    _, status = os.waitpid(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == expected
    assert closed == []
    assert child.link.receive() == []
    assert child.link.is_lost
    child.link.close()
    assert "Traceback" not in capfd.readouterr().err
