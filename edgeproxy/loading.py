"""Loading libraries while clients are served already: it must not fail for good because descriptors are
short, or a file cannot be read, at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Loaded = TypeVar("Loaded")

WAIT_SECONDS = 0.1  # doubled each time
WAIT_SECONDS_MAX = 5.0
IMPORTS_MAX = 8  # libraries in C that cannot be read fail like those that are not there: half a minute


async def loaded(load: Callable[[], Loaded]) -> Loaded:
    """What `load` gives, called in a thread: again at a slackening pace where files cannot be opened or read,
    for as long as this is awaited. Raises ImportError when that comes again and again, and whatever else
    goes wrong."""
    wait, left = WAIT_SECONDS, IMPORTS_MAX
    while True:
        try:
            return await asyncio.to_thread(load)
        except OSError:
            pass
        except ImportError:
            left -= 1
            if not left:
                raise
        await asyncio.sleep(wait)
        wait = min(2 * wait, WAIT_SECONDS_MAX)
