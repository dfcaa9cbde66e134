"""When the interpreter looks for garbage in circles.

With its own thresholds it looks through the young after every 700 allocations, which is every second or third
fill, and finds next to nothing: a fifth of the processor time of a fill, a seventh of that of a redirect, a
twelfth of that of a TLS handshake. What is in a circle may hold a descriptor, the last reference to an open
file, or the bytes of an answer, so a quiet process looks now and then, too: without many allocations the
interpreter never would."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 20_000  # allocations, less what was freed: a few MB
OLDER = (10, 10)
TIDY_SECONDS = 5.0
TURNS = 6  # of the young before the old are thought of: half a minute
_NEVER = 1 << 30
_ALLOCATED: list[set[None]] = []


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


def tidy() -> None:
    """Look through the young (a millisecond at most). What survives that is old, and is looked through when
    the interpreter's own rule says so: once it is a quarter more, so that a process that holds much does not
    look through it again and again."""
    gc.collect(1)
    gc.set_threshold(1, _NEVER, TURNS)
    _ALLOCATED[:] = [set() for _ in range(8)]  # it thinks of that when something new is allocated
    gc.set_threshold(YOUNG, *OLDER)


async def tidy_forever() -> None:
    """At a steady pace, until cancelled."""
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        tidy()
