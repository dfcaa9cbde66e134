"""After a start, in the background: what lies on disk and what the index says are made to agree.

With a complete index a body it does not know is an orphan of a crash and goes (it may be one that
had been removed), unless it is a partial body that had just become whole. With a new index, because
the old one was lost or broken, every sound body is read in again from its footer; of two for one
variant the younger stays."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, record, tables
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.generations import Generations, Verdict
from edgeproxy.storage.groups import FORGET_ALL_UNUSED
from edgeproxy.storage.index_upgrade import fill_columns
from edgeproxy.storage.partial_sweep import sweep_partials
from edgeproxy.storage.publishing import insert
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.schema import ADDED_UP

ROWS_BATCH = 500
REST_SECONDS_MAX = 0.05
TOLD_AND_HELD = f"select (select value from facts where name = 'held'), ({ADDED_UP})"  # of one moment


class Sweep:
    """One run. Blocks; `stop` (any thread) ends it early. `imported` is told each response that was
    read in again."""

    def __init__(
        self,
        disk: DiskTier,
        generations: Generations,
        *,
        trust_bodies: bool,
        imported: Callable[[StoredResponse], None],
        corrupt: Callable[[str], None],
    ) -> None:
        self._disk = disk
        self._generations = generations
        self._trust_bodies = trust_bodies
        self._imported = imported
        self._corrupt = corrupt
        self._stopped = False
        self._resumed = 0.0

    def stop(self) -> None:
        self._stopped = True

    def run(self, temporary: list[str]) -> None:
        """`temporary` are files left by an earlier process. Raises StorageError, OSError."""
        for body in temporary:
            self._disk.discard(body)
        self._resumed = time.monotonic()
        self._judge_files()
        if self._stopped:
            return
        sweep_partials(self._disk, lambda: self._stopped)
        self._judge_rows()
        if self._disk.index.is_unfilled:
            fill_columns(self._disk.index, lambda: self._stopped)
        if self._stopped:
            return
        if self._disk.index.is_partial:
            self._disk.index.submit(tables.complete).result()
            self._disk.index.is_partial = False
        excess = self._disk.used - self._disk.limits.bytes_max
        if excess > 0:
            self._disk.evict(excess)

    def _judge_files(self) -> None:
        """Names come folder by folder, so the rows of a folder are read at once, not one for each."""
        folder, known = "", frozenset[object]()
        for body in self._disk.directory.body_ids():
            if self._stopped:
                return
            if body[:2] != folder:
                self._rest()
                folder = body[:2]
                sql = "select id from bodies where id >= ? and id < ?"
                known = frozenset(row[0] for row in self._disk.index.read(sql, (folder, folder + "g")))
            if body not in known:
                self._judge_file(body)

    def _rest(self) -> None:
        """Leave at least half of the time to those who answer clients."""
        time.sleep(min(time.monotonic() - self._resumed, REST_SECONDS_MAX))
        self._resumed = time.monotonic()

    def _judge_file(self, body: str) -> None:
        if body in self._disk.publishing:
            return
        if self._disk.index.read("select 1 from bodies where id = ?", (body,)):
            return
        parts = self._disk.index.read("select allocated from partials where id = ?", (body,))
        if not parts and not (self._disk.index.is_partial and self._trust_bodies):
            self._remove(body)
            return
        try:
            footer = self._read(body)
        except Damaged as error:
            self._corrupt(str(error))
            self._remove(body)
            return
        except OSError as error:
            self._disk.failed("read", error)  # one bad sector does not keep the others out
            return
        stored = footer.stored
        if self._generations.verdict(stored) is Verdict.DEAD or self._is_superseded(stored):
            self._remove(body)
            return
        counted = parts[0][0] if parts and isinstance(parts[0][0], int) else 0
        self._disk.account(footer.allocated - counted)
        insert(self._disk, stored, footer.allocated, stored.response_time)
        self._imported(stored)

    def _read(self, body: str) -> body_file.Footer:
        fd = body_file.open_regular(body_file.path_of(body), self._disk.directory.bodies)
        try:
            return body_file.read_footer(fd, body)
        finally:
            os.close(fd)

    def _is_superseded(self, stored: StoredResponse) -> bool:
        others = self._disk.index.records(stored.key)
        for _, _, data in others:
            with contextlib.suppress(Damaged):
                other = record.decode(data)
                same = other.key == stored.key and other.selecting == stored.selecting
                if same and other.response_time >= stored.response_time:
                    return True
        return False

    def _remove(self, body: str) -> None:
        with contextlib.suppress(StorageError):
            self._disk.unlink(body)

    def _judge_rows(self) -> None:
        """Rows without a file go; what a body takes is what its file says."""
        after = ""
        while not self._stopped:
            rows = self._disk.index.read(
                "select id, allocated from bodies where id > ? order by id limit ?", (after, ROWS_BATCH)
            )
            if not rows:
                break
            gone: list[str] = []
            drifted: list[tuple[str, int, int]] = []
            for body, allocated in rows:
                after = str(body)
                real = self._allocated(after)
                if real is None and after not in self._disk.publishing:
                    gone.append(after)
                elif real is not None and real != allocated:
                    drifted.append((after, real, allocated if isinstance(allocated, int) else 0))
            self._rest()
            if gone:
                self._drop_rows(gone)
            for body_id, real, told in drifted:
                self._correct(body_id, real)
                self._disk.account(real - told)
        self._drop_rows_without_body()
        self._add_up()

    def _add_up(self) -> None:
        """What the index holds in all is kept by its triggers: a bit that flips there stays until now."""
        ((told, held),) = self._disk.index.read(TOLD_AND_HELD)
        if isinstance(told, int) and isinstance(held, int) and told != held:
            sql = "update facts set value = value + ? where name = 'held'"
            self._disk.index.submit(lambda c: c.execute(sql, (held - told,)) and None).result()
            self._disk.account(held - told)

    def _drop_rows(self, bodies: list[str]) -> None:
        """What an eviction has just removed is left to it: it counts by the rows what it has freed."""
        with self._disk.room.still():
            sql = "select 1 from bodies where id = ?"
            gone = [b for b in bodies if self._allocated(b) is None and self._disk.index.read(sql, (b,))]
            if gone:
                self._disk.drop(gone)

    def _drop_rows_without_body(self) -> None:
        sql = "delete from responses where body not in (select id from bodies)"
        self._disk.index.submit(lambda c: c.execute(sql) and None).result()
        self._disk.index.submit(lambda c: c.execute(FORGET_ALL_UNUSED) and None).result()

    def _correct(self, body: str, real: int) -> None:
        sql = "update bodies set allocated = ? where id = ?"
        self._disk.index.submit(lambda c: c.execute(sql, (real, body)) and None).result()

    def _allocated(self, body: str) -> int | None:
        if not body_file.is_body_id(body):
            return None
        try:
            status = os.stat(
                body_file.path_of(body), dir_fd=self._disk.directory.bodies, follow_symlinks=False
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else None
