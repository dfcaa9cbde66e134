"""Ports that nobody else gets while nobody listens at them.

A port that the kernel has chosen is given to the next who wants any, be it for one end of a connection, as
soon as it is free: who stops and starts again may find it taken, and who asks what is down may be answered.
These lie outside the kernel's choice, in a part of their own for each process that runs tests."""

from __future__ import annotations

import itertools
import os
import re
import socket
import threading

_FIRST, _PARTS, _PART = 10_000, 4, 5_500  # up to 32000; the kernel begins at 32768
_lock = threading.Lock()


def _candidates() -> itertools.cycle[int]:
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % _PARTS
    ports = range(_FIRST + worker * _PART, _FIRST + (worker + 1) * _PART)
    start = os.getppid() * 97 % _PART  # another run beside this one begins elsewhere
    return itertools.cycle([*ports[start:], *ports[:start]])


_ports = _candidates()


def reserve(host: str = "127.0.0.1") -> int:
    """A port at which nobody listens now."""
    with _lock:
        for port in itertools.islice(_ports, _PART):
            try:
                socket.create_server((host, port)).close()
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free at {host}")
