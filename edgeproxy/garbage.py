"""When the interpreter looks for garbage in circles.

With its own thresholds it looks through the young after every 700 allocations, which is every second or third
fill, and finds next to nothing: a fifth of the processor time of a fill, a seventh of that of a redirect, a
twelfth of that of a TLS handshake. What is in a circle may hold a descriptor or the last reference to an open
file, so a quiet process looks now and then, too."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 20_000  # allocations, less what was freed: a few MB
OLDER = (10, 50)
TIDY_SECONDS = 5.0


def freeze() -> None:
    """Nothing that is there now is garbage, now or later: never look through it again."""
    gc.freeze()
    gc.set_threshold(YOUNG, *OLDER)


@contextmanager
def none_while_loading() -> Iterator[None]:
    """While the program's libraries are loaded nothing is looked through, and they never are."""
    gc.disable()
    try:
        yield
    finally:
        freeze()
        gc.enable()


async def tidy_forever() -> None:
    """Look through the young (a millisecond at most) at a steady pace, until cancelled."""
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        gc.collect(1)
