"""Gets every released client that tests use and that is not there yet: `python -m stands.prepare`.

Tests that need one get it by themselves as well, but then the first of them waits, and others for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stands.clients import INSTALLERS, obtain
from stands.hub_clients import RELEASES, obtain_environment
from stands.kept import Unavailable


def prepare() -> int:
    """Two at a time; the number of those that cannot be had."""
    wanted: list[tuple[str, Callable[[str], object]]] = [(name, obtain_environment) for name in RELEASES]
    wanted += [(name, obtain) for name in INSTALLERS]
    missing = 0
    with ThreadPoolExecutor(2) as pool:
        for name, made in [(name, pool.submit(get, name)) for name, get in wanted]:
            try:
                made.result()
            except Unavailable as reason:
                print(f"{name}: {reason}", file=sys.stderr)
                missing += 1
    return missing


if __name__ == "__main__":
    sys.exit(prepare())
