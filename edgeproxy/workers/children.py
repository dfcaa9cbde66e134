"""The supervisor's children: how they are made, and when one that ended is made again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeproxy.own_log import OWN_LOG
from edgeproxy.workers.link import Link

FAST = 3  # ends within WINDOW_SECONDS after which the next start waits
WINDOW_SECONDS = 10.0
REST_SECONDS = 0.2
REST_SECONDS_MAX = 5.0


@dataclass(slots=True)
class Child:
    """A process. `trouble` is why it could not start, "" if that is not known."""

    role: str
    pid: int
    link: Link
    is_ready: bool = False
    trouble: str = ""
    answer: str | None = None  # what it said to the last order: None yet, "" done, else trouble


@dataclass(slots=True)
class Revival:
    """When a role may be filled again: at once, unless it ended often lately. Monotonic seconds."""

    ends: list[float] = field(default_factory=list)

    def ended(self, now: float) -> float:
        """Note an end; gives when to start again."""
        self.ends = [at for at in self.ends if now - at < WINDOW_SECONDS] + [now]
        fast = len(self.ends) - FAST
        if fast <= 0:
            return now
        return now + min(REST_SECONDS_MAX, REST_SECONDS * float(1 << min(fast - 1, 16)))


def fork(role: str, main: Callable[[socket.socket], int], close: Callable[[], None]) -> Child:
    """Run `main` in a new process with its end of the link. `close` frees what only the parent needs."""
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        theirs.close()
        return Child(role, pid, Link(ours))
    status = 1
    try:
        ours.close()
        _call_process(f"edge {role}")
        signal.set_wakeup_fd(-1)
        close()
        status = main(theirs)
    except KeyboardInterrupt:
        pass
    except BaseException as error:  # noqa: BLE001 - the outermost step of a process
        OWN_LOG.error("a process failed", process=role, error=repr(error))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _call_process(name: str) -> None:
    """What `ps` and `top` show, where that can be said."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name[:15])


def how(status: int) -> str:
    """How a process ended, from what waitpid says."""
    code = os.waitstatus_to_exitcode(status)
    return f"status {code}" if code >= 0 else signal.Signals(-code).name
