"""Circles of garbage are found, but nobody looks for them all the time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator

import pytest

from edgeproxy import garbage


class Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_is_loaded_is_looked_through_no_more() -> None:
    before = gc.get_freeze_count()
    garbage.freeze()
    assert gc.get_freeze_count() > before
    assert gc.get_threshold()[0] == garbage.YOUNG


def test_nothing_is_looked_for_while_the_program_is_loaded() -> None:
    with garbage.none_while_loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_threshold()[0] == garbage.YOUNG


def test_what_has_grown_old_before_it_became_garbage_is_found() -> None:
    """A fill that ran while its surroundings were looked through, and then ended."""
    gc.collect()
    gc.disable()
    old = [Circle() for _ in range(len(gc.get_objects()) // 3)]
    gc.enable()
    for _ in range(3):
        garbage.tidy()
    last = weakref.ref(old[-1])
    del old
    for _ in range(garbage.TURNS + 2):
        garbage.tidy()
    assert last() is None


def test_what_is_old_is_not_looked_through_for_a_little_that_is_new() -> None:
    gc.collect()
    before = gc.get_stats()[2]["collections"]
    for _ in range(3 * garbage.TURNS):
        garbage.tidy()
    assert gc.get_stats()[2]["collections"] == before
    assert gc.get_threshold() == (garbage.YOUNG, *garbage.OLDER)


async def test_a_quiet_process_finds_its_garbage_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "TIDY_SECONDS", 0.01)
    gc.disable()
    try:
        gone = asyncio.Event()
        weakref.finalize(Circle(), gone.set)
        tidying = asyncio.ensure_future(garbage.tidy_forever())
        async with asyncio.timeout(10):
            await gone.wait()
        tidying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tidying
    finally:
        gc.enable()
