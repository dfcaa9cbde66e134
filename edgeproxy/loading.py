"""Loading libraries while clients are served already: it must not fail for good because descriptors are short
at that moment."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import TypeVar

Loaded = TypeVar("Loaded")

WAIT_SECONDS = 0.1  # doubled each time
WAIT_SECONDS_MAX = 5.0
_SHORT = (errno.EMFILE, errno.ENFILE)
_SHORT_TEXT = "Too many open files"  # of libraries in C, whose loader tells nothing else


async def loaded(load: Callable[[], Loaded]) -> Loaded:
    """What `load` gives, called in a thread; again at a slackening pace while files cannot be opened for
    want of descriptors, for as long as this is awaited. Raises whatever else goes wrong."""
    wait = WAIT_SECONDS
    while True:
        try:
            return await asyncio.to_thread(load)
        except (OSError, ImportError) as error:
            if not is_want_of_descriptors(error):
                raise
        await asyncio.sleep(wait)
        wait = min(2 * wait, WAIT_SECONDS_MAX)


def is_want_of_descriptors(error: OSError | ImportError) -> bool:
    if isinstance(error, OSError):
        return error.errno in _SHORT
    return _SHORT_TEXT in str(error)
