"""When a disk is out of use: too many errors in a minute, then a rest, then one more try."""

from __future__ import annotations

import time
from collections import deque

WINDOW_SECONDS = 60.0


class ErrorBudget:
    """Counts errors of one kind of work on one disk. `is_usable` is asked before the work."""

    def __init__(self, errors_max: int, rest_seconds: float) -> None:
        self._errors: deque[float] = deque(maxlen=max(1, errors_max))
        self._rest_seconds = rest_seconds
        self._off_until = 0.0
        self.reason = ""

    @property
    def is_usable(self) -> bool:
        return not self.reason or time.monotonic() >= self._off_until

    def failed(self, reason: str) -> None:
        now = time.monotonic()
        self._errors.append(now)
        is_full = len(self._errors) == self._errors.maxlen and now - self._errors[0] <= WINDOW_SECONDS
        if self.reason or is_full:
            self.reason, self._off_until = reason, now + self._rest_seconds

    def succeeded(self) -> None:
        if self.reason:
            self.reason = ""
            self._errors.clear()
