"""What signals mean to a supervisor, in whatever order and whenever they come."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import structlog

from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError
from edgeproxy.workers.supervising import _Supervising


class Told:
    """A supervisor to which signals come, and what it was told."""

    def __init__(self, *signals: int) -> None:
        self.config = Config()
        self.log = structlog.get_logger("edgeproxy")
        self.children: dict[str, Any] = {}
        self.reload_asked: list[bool] = []
        self.asked: list[int] = []
        self.coming = list(signals)
        self.stops = 0

    def turn(self, seconds: float) -> None:
        assert self.coming, "nothing more comes: it waits for ever"
        self.asked.append(self.coming.pop(0))

    def is_hurried(self) -> bool:
        return signal.SIGTERM in self.asked or signal.SIGINT in self.asked

    def dismiss_former(self) -> None:
        return None

    def stop(self) -> int:
        self.stops += 1
        return 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("before", [signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_to_end_that_comes_during_a_reload_is_obeyed_after_it(before: int, end: int) -> None:
    supervisor, read = Told(before), []

    def again() -> Config:
        read.append(1)
        supervisor.asked.append(end)
        raise ConfigurationError("log", "not this time")

    supervising: Any = _Supervising(supervisor, again)  # type: ignore[arg-type]
    supervising._hand_over = again
    assert supervising.run() == 0
    assert (supervisor.stops, len(read)) == (1, 1)


def test_reloads_asked_for_during_a_reload_are_done_one_after_another() -> None:
    supervisor, read = Told(signal.SIGHUP, signal.SIGTERM), []

    def again() -> Config:
        read.append(1)
        if len(read) < 3:
            supervisor.asked.append(signal.SIGHUP)
        raise ConfigurationError("log", "not this time")

    assert _Supervising(supervisor, again).run() == 0  # type: ignore[arg-type]
    assert (supervisor.stops, len(read)) == (1, 3)
