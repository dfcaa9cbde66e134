"""Stores on a temporary directory, and short ways to put and get."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from edgeproxy import config
from edgeproxy.message import FileSlice
from edgeproxy.metrics import Metrics
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.tiered import TieredStore
from edgeproxy.tasks import Tasks

NOW = 1_700_000_000.0


def response(key: str, **changes: Any) -> StoredResponse:
    values: dict[str, Any] = {
        "key": key,
        "site": "files",
        "status": 200,
        "fields": (("Content-Type", "text/plain"),),
        "born": NOW,
        "request_time": NOW,
        "response_time": NOW,
        "fresh_until": NOW + 60,
    }
    return StoredResponse(**{**values, **changes})


class Stand:
    """A store with what it needs, and what it said."""

    def __init__(self, store: TieredStore, metrics: Metrics, said: list[str]) -> None:
        self.store, self.metrics, self.said = store, metrics, said

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        sequence: int | None = None,
        memory_only: bool = False,
        expected: int | None = None,
        **changes: Any,
    ) -> StoredResponse | None:
        store = self.store
        writer = store.writer(
            key,
            sequence=store.sequence if sequence is None else sequence,
            expected_bytes=expected,
            memory_only=memory_only,
        )
        try:
            for start in range(0, len(data), 100_000):
                await writer.write([data[start : start + 50_000], data[start + 50_000 : start + 100_000]])
            return await writer.commit(response(key, **changes), "")
        finally:
            writer.close()

    async def get(self, key: str, **selecting: str) -> bytes | None:
        for stored in await self.store.lookup(key):
            if dict(stored.selecting) == selecting:
                return await self.read(stored)
        return None

    async def read(self, stored: StoredResponse) -> bytes | None:
        body = await self.store.open(stored)
        if body is None:
            return None
        try:
            await body.check(0, body.size)
            return part_bytes(body.slice(0, body.size))
        finally:
            body.close()

    async def on_disk(self) -> None:
        """Wait until what was committed is written."""
        if self.store._behind is not None:
            await self.store._behind.flush()

    async def forget_memory(self) -> None:
        await self.on_disk()
        for key in list(self.store._ram._entries):
            self.store._ram.drop(key)


def part_bytes(part: Any) -> bytes:
    if isinstance(part, FileSlice):
        return os.pread(part.file.fileno(), part.length, part.offset)
    return bytes(part)


def settings(directory: Path | str, **changes: Any) -> config.Cache:
    values: dict[str, Any] = {
        "directory": str(directory),
        "disk": 64 << 20,
        "memory": 8 << 20,
        "memory_body": 64 << 10,
        "small_body": 16 << 10,
        "free_space": 0,
    }
    return config.Cache(**{**values, **changes})


@asynccontextmanager
async def opened(directory: Path | str, **changes: Any) -> AsyncIterator[Stand]:
    failures: list[BaseException] = []
    ticks = count()  # two uses never fall on one moment
    tasks = Tasks(lambda name, error: failures.append(error))
    metrics, said = Metrics(), []
    store = TieredStore(
        settings(directory, **changes),
        clock=lambda: NOW + next(ticks) / 1000,
        tasks=tasks,
        metrics=metrics,
        report=said.append,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(tasks.aclose)
        stack.push_async_callback(store.aclose)
        await store.start()
        yield Stand(store, metrics, said)
    assert not failures, failures


async def until(condition: Callable[[], bool]) -> None:
    """Wait, at most ten seconds, for what a background thread is about to do."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the thread has no event to wait for
            await asyncio.sleep(0.01)


def body_files(directory: Path) -> list[Path]:
    return [path for path in (directory / "bodies").rglob("*") if path.is_file()]


def lose_index(directory: Path) -> None:
    for name in ("index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"):
        with suppress(FileNotFoundError):
            (directory / name).unlink()
