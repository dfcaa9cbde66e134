"""The threads in which the store blocks, and the way back from them to the loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgeproxy.metrics import Metrics

T = TypeVar("T")
DISK_THREADS = 4
INDEX_THREADS = 2


class Threads:
    """`bind` on the loop before use. `event` counts, and reports each kind of trouble once."""

    def __init__(self, metrics: Metrics, report: Callable[[str], None]) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._metrics, self._report = metrics, report
        self._told: set[str] = set()
        self._disk = ThreadPoolExecutor(DISK_THREADS, "edgeproxy-disk")
        self._index = ThreadPoolExecutor(INDEX_THREADS, "edgeproxy-look-up")

    def bind(self) -> None:
        """Come back to the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def run(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Do blocking work with the disk."""
        return asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def look_up(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Do blocking work with the index only, not behind a slow disk."""
        return asyncio.get_running_loop().run_in_executor(self._index, work, *arguments)

    def later(self, work: Callable[..., object], *arguments: object) -> None:
        """Work with the disk for which nobody waits."""
        try:
            self._disk.submit(work, *arguments)
        except RuntimeError:  # the pool has been shut down: only descriptors are left to close
            work(*arguments)

    def dropped(self, work: Callable[..., object], *arguments: object) -> None:
        """`later`, for finalizers: they run anywhere, also where a lock of the pool is held."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(lambda: self.later(work, *arguments))
                return
        except RuntimeError:  # the loop has ended
            pass
        work(*arguments)

    def call(self, work: Callable[..., None], *arguments: object) -> None:
        """Have the loop do something; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(work, *arguments)

    def count(self, counter: str) -> None:
        """Count what has no label. On the loop."""
        self._metrics.count(counter)

    def event(self, counter: str, label: str, text: str) -> None:
        """`note` from any thread."""
        self.call(self.note, counter, label, text)

    def note(self, counter: str, label: str, text: str) -> None:
        """Count, and report the first of a kind. On the loop."""
        self._metrics.count(counter, label)
        kind = f"{counter} {label}"
        if text and kind not in self._told:
            self._told.add(kind)
            self._report(text)

    def close(self) -> None:
        """Finish what was handed in. Blocks."""
        self._disk.shutdown(wait=True)
        self._index.shutdown(wait=True)


async def to_the_end(future: asyncio.Future[T]) -> T:
    """Await a thread's result; a caller that is cancelled leaves when it has come, not before, because the
    thread still works with what the caller would take from it."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()
        raise


async def or_undo(future: asyncio.Future[T], undo: Callable[[T], None]) -> T:
    """Await a thread's result; if the caller is cancelled, undo it when it comes."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def late(ended: asyncio.Future[T]) -> None:
            if not ended.cancelled() and ended.exception() is None:
                undo(ended.result())

        future.add_done_callback(late)
        raise
