"""One process with all that it starts: a group of its own, a time that it may take, and no rest."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

LOOK_SECONDS = 0.25
END_SECONDS = 10.0
REST_SECONDS = 2.0
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Ended:
    """`status` is the exit status, below 0 for a signal; None when its time was over."""

    status: int | None
    seconds: float


def run_bounded(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    seconds_max: float,
    watch: Callable[[float], None],
    end_seconds: float = END_SECONDS,
) -> Ended:
    """Run `command` in `directory`; what it says goes to `log`, and `watch` is told the seconds so far, four
    times a second. The group is ended when the command has ended, when `seconds_max` are over and when an
    exception passes (Ctrl-C), by force after `end_seconds`. Raises OSError if it cannot be started."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    begun = time.monotonic()
    try:
        while (passed := time.monotonic() - begun) < seconds_max:
            watch(passed)
            try:
                status = process.wait(min(LOOK_SECONDS, seconds_max - passed))
            except subprocess.TimeoutExpired:
                continue
            return Ended(status, time.monotonic() - begun)
        return Ended(None, time.monotonic() - begun)
    finally:
        _end(process, end_seconds)


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End the group: asked first, because the leader stops its servers and clears its directory then."""
    try:
        running = process.poll() is None
        _signal(process.pid, signal.SIGTERM)
        if running:
            process.wait(seconds)
        end = time.monotonic() + min(REST_SECONDS, seconds)
        while time.monotonic() < end and _signal(process.pid, 0):
            time.sleep(0.01)
    except subprocess.TimeoutExpired:
        pass
    finally:  # also when a second Ctrl-C does not want to wait
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _signal(group: int, number: int) -> bool:
    """Whether somebody was there to have it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit with 128 and their number, so that what runs is ended first."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_line(log: Path) -> str:
    """The last line with something in it, "" if there is none; control characters are left out."""
    try:
        with log.open("rb") as said:
            said.seek(0, os.SEEK_END)
            said.seek(max(0, said.tell() - TAIL_BYTES))
            text = said.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(sign for sign in lines[-1] if sign.isprintable()) if lines else ""
