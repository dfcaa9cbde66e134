"""What is made once and kept between runs: under $EDGEPROXY_TEST_CACHE, else in the user's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path


class Unavailable(Exception):
    """Something cannot be had here; the text says why."""


def kept(name: str, wanted: Sequence[str], make: Callable[[Path], None]) -> Path:
    """A folder that holds what `wanted` says, for this interpreter; `make` fills it if it is not there. One
    process makes it while others wait. Raises what `make` does, and then there is nothing."""
    text = "\n".join([*wanted, platform.python_version(), platform.machine()])
    place = _directory() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / f"{place.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            (place / "complete").write_text(text)
    return place


def _directory() -> Path:
    named = os.environ.get("EDGEPROXY_TEST_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeproxy-tests"
