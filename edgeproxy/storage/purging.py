"""What follows a purge: it is written down, and what it killed is reclaimed in the background."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from edgeproxy.errors import StorageError
from edgeproxy.storage import record, tables
from edgeproxy.storage.body_file import write_all
from edgeproxy.storage.crash import reach
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.generations import Generations, Verdict, log_line
from edgeproxy.storage.opening import LOG, write_log
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.store import Purge

Row = tuple[Any, ...]
ROWS_BATCH = 500
PAUSE_SECONDS = 0.01  # between batches, so that reclaiming does not crowd out reading
REST_SECONDS = 1.0  # several purges in a row are reclaimed together


class Purging:
    """`oldest` gives the purge sequence of the oldest fill that may still commit; `judge_all` compares what
    is in RAM with the purges."""

    def __init__(
        self,
        disk: DiskTier,
        generations: Generations,
        *,
        run: Callable[..., asyncio.Future[Any]],
        oldest: Callable[[], int],
        judge_all: Callable[[], Awaitable[None]],
    ) -> None:
        self._disk, self._generations = disk, generations
        self._run, self._oldest, self._judge_all = run, oldest, judge_all
        self._due = asyncio.Event()
        self._log = threading.Lock()

    async def note(self, number: int, purge: Purge) -> None:
        """Write a purge down. Raises StorageError, OSError."""
        self._due.set()
        await asyncio.shield(self._run(self._append, log_line(number, purge)))
        reach("purge-logged")
        value = purge.value.encode("utf-8", "replace").decode("utf-8")
        self._disk.index.submit(
            lambda c: tables.note_purge(c, purge.scope.value, value, purge.soft, number)
        ).add_done_callback(lambda future: future.exception())

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with self._log:
            fd = os.open(self._disk.directory.path / LOG, flags, 0o600)
            try:
                write_all(fd, [line], os.fstat(fd).st_size)
                if self._disk.limits.sync:
                    os.fsync(fd)
            finally:
                os.close(fd)

    async def run_forever(self) -> None:
        """Reclaim after each purge, until cancelled."""
        self._due.set()
        while True:
            await self._due.wait()
            await asyncio.sleep(REST_SECONDS)
            self._due.clear()
            number = min(self._generations.sequence, self._oldest())
            if len(self._generations) == 0:
                continue
            try:
                await self.reclaim()
                await self._compact(min(number, self._oldest()))
            except (StorageError, OSError):
                continue  # counted where it happened; the next purge tries again

    async def reclaim(self) -> None:
        """One pass over what is older than the last purge. Raises StorageError."""
        upto = self._generations.sequence
        after: object = 0
        while rows := await self._run(
            self._disk.index.read,
            "select id, body, record, key from responses where id > ? and sequence < ? order by id limit ?",
            (after, upto, ROWS_BATCH),
        ):
            after = rows[-1][0]
            dead = await self._run(self._dead, rows)
            if dead:
                await self._run(self._disk.release_rows, [(row[3], row[1]) for row in dead])
            await asyncio.sleep(PAUSE_SECONDS)
        after = ""
        while rows := await self._run(
            self._disk.index.read,
            "select id, id, record from partials where id > ? and sequence < ? order by id limit ?",
            (after, upto, ROWS_BATCH),
        ):
            after = rows[-1][0]
            await self._run(self._reclaim_partials, rows)
            await asyncio.sleep(PAUSE_SECONDS)

    def _reclaim_partials(self, rows: list[Row]) -> None:
        """One that somebody works on goes when it is opened the next time, or fails its commit."""
        for _, body, *_ in self._dead(rows):
            with self._disk.claims.briefly(body) as is_mine:
                if is_mine:
                    self._disk.account(-self._disk.forget_partials([body]))

    def _dead(self, rows: list[Row]) -> list[Row]:
        dead: list[Row] = []
        for row in rows:
            try:
                stored = record.decode(row[2])
            except (Damaged, TypeError):
                dead.append(row)
                continue
            if self._generations.verdict(stored) is Verdict.DEAD:
                dead.append(row)
        return dead

    async def _compact(self, number: int) -> None:
        """Forget hard purges that nothing stored or being stored is older than."""
        if self._disk.index.is_partial:
            return  # bodies not read in yet may be older
        await self._judge_all()
        self._generations.forget(number)
        await self._run(self._rewrite)
        self._disk.index.submit(
            lambda c: c.execute("delete from purges where soft = 0 and number <= ?", (number,)) and None
        ).add_done_callback(lambda future: future.exception())

    def _rewrite(self) -> None:
        with self._log:
            write_log(self._disk.directory, self._generations)
