"""A timer finer than the event loop's: uvloop's have whole milliseconds, which would add one or two to each
round trip. On Linux a timerfd wakes the loop within some tens of microseconds; elsewhere the loop's own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import time
from collections.abc import Callable

_MONOTONIC, _NONBLOCK, _CLOEXEC, _ABSOLUTE = 1, 0o4000, 0o2000000, 1


class _Spec(ctypes.Structure):
    """struct itimerspec: interval and value, each in seconds and nanoseconds."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "seconds", "nanoseconds")]


class Alarm:
    """Calls `ring` at the time last `set`, on the running loop. Times are those of time.monotonic()."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop, self._ring = asyncio.get_running_loop(), ring
        self._when: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._libc = ctypes.CDLL(None)
        self._fd = -1
        with contextlib.suppress(AttributeError):
            self._fd = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC)
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._rings)

    def set(self, when: float) -> None:
        """Ring at `when`, or sooner if it is set to ring sooner."""
        if self._when is not None and self._when <= when:
            return
        self._when = when
        if self._fd >= 0:
            seconds = int(when)
            spec = _Spec(0, 0, seconds, max(1, int((when - seconds) * 1e9)))
            self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0.0, when - time.monotonic()), self._rings)

    def _rings(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(BlockingIOError):
                os.read(self._fd, 8)
        self._when = None
        self._ring()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._handle is not None:
            self._handle.cancel()
