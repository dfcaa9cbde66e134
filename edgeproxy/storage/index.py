"""The index of the disk tier: SQLite in WAL mode. One thread writes, in batches; readers have their
own connection in their own thread. It knows what is stored and how recently it was used; what a
response is stands in its record, whose checksum and key are verified by whoever reads it.

    sqlite3 index.sqlite3 "select substr(cast(record as text), 21) from responses"

A broken index is set aside and an empty one takes its place; `is_partial` is then true until the
bodies have been read in again, `is_unfilled` after an index of version 1 was taken over until the sweep
has filled in what that lacked."""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from edgeproxy.errors import StorageError
from edgeproxy.storage import record
from edgeproxy.storage.crash import reach
from edgeproxy.storage.schema import prepare

T = TypeVar("T")
Connection = sqlite3.Connection
Work = Callable[[Connection], object]

BATCH_MAX = 512
QUEUE_MAX = 16_384
BUSY_SECONDS = 5.0


class _Failed:
    """The result of work that raised and was undone."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _do(writer: sqlite3.Connection, work: Work) -> object:
    """One piece of work; if it fails only its own traces are undone, so that it takes no other down with
    it. Raises where the whole transaction is lost."""
    writer.execute("savepoint work")
    try:
        result = work(writer)
    except Exception as error:
        if is_corruption(error) or not writer.in_transaction:
            raise
        writer.execute("rollback to work")
        result = _Failed(error)
    writer.execute("release work")
    return result


class _Reader:
    """One thread's connection. The lock is for closing: SQLite must not lose a connection in use."""

    def __init__(self, connection: sqlite3.Connection, epoch: int) -> None:
        self.epoch = epoch
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.Lock()

    def read(self, sql: str, values: Sequence[object]) -> list[tuple[object, ...]]:
        with self._lock:
            if self._connection is None:
                raise sqlite3.OperationalError("the index has been closed")
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()


class Index:
    """Open with `start` (blocks, in a thread); `submit` from any thread; `read` in any thread."""

    def __init__(self, path: Path, *, broken: Callable[[str], None]) -> None:
        self._path = path
        self._broken = broken
        self._queue: queue.Queue[tuple[Work, Future[object]] | None] = queue.Queue(QUEUE_MAX)
        self._thread = threading.Thread(target=self._run, name="edgeproxy-index", daemon=True)
        self._local = threading.local()
        self._lock = threading.RLock()
        self._readers: list[_Reader] = []
        self._writer: sqlite3.Connection | None = None
        self._epoch = 0
        self.is_partial = False
        self.is_unfilled = False
        self.is_open = False

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Open, setting a broken index aside. Raises OSError or sqlite3.Error if none can be made."""
        try:
            self._writer = self._connect()
            self._prepare(self._writer)
        except (sqlite3.DatabaseError, OSError, UnicodeError):
            self._replace()
        self.is_open = True
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        for suffix in ("", "-wal", "-shm"):
            path = f"{self._path}{suffix}"
            if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path)):
                raise OSError("the index is not a regular file")
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma cache_size = -4096")
            connection.execute("pragma cell_size_check = on")
        except (sqlite3.Error, UnicodeError):  # SQLite quotes damaged names
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self.is_partial, self.is_unfilled = prepare(connection)

    def _replace(self) -> None:
        """Set the files aside under a free name and begin again, empty. No connection to the old
        files may be left: closing it later would remove the new write-ahead log by its name."""
        with self._lock:
            self._replace_files()

    def _replace_files(self) -> None:
        self._close_connections()
        number = 1
        while os.path.lexists(f"{self._path.parent}/index.broken-{number}") and number < 8:
            number += 1
        aside = f"{self._path.parent}/index.broken-{number}"
        if os.path.lexists(self._path):
            with contextlib.suppress(IsADirectoryError, NotADirectoryError):
                os.replace(self._path, aside)
        for suffix in ("-wal", "-shm"):
            if os.path.lexists(f"{self._path}{suffix}"):
                os.replace(f"{self._path}{suffix}", f"{aside}{suffix}")
        self._epoch += 1
        self._writer = self._connect()
        self._prepare(self._writer)
        self._broken(f"the index was broken; it is now {os.path.basename(aside)} and a new one is made")

    def _close_connections(self) -> None:
        with self._lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close()
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
        self._writer = None

    def close(self) -> None:
        """Write what is queued, then close. Blocks."""
        if self._thread.is_alive():
            self.is_open = False
            self._queue.put(None)
            self._thread.join()
        self.is_open = False
        self._close_connections()

    # -- writing -------------------------------------------------------------------------------

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have `work` done in the writer's next transaction; the future ends after its commit, with
        StorageError if it failed. Raises StorageError when the queue is full or the index closed."""
        if not self.is_open:
            raise StorageError("there is no index")
        future: Future[T] = Future()
        try:
            self._queue.put_nowait((work, future))  # type: ignore[arg-type]
        except queue.Full:
            raise StorageError("the index is too slow") from None
        return future

    def _run(self) -> None:
        last = False
        while not last:
            batch: list[tuple[Work, Future[object]]] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) >= BATCH_MAX:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            last = item is None
            if batch:
                self._write(batch)

    def _write(self, batch: list[tuple[Work, Future[object]]]) -> None:
        writer = self._writer
        done: list[tuple[Future[object], object]] = []
        batch = [item for item in batch if item[1].set_running_or_notify_cancel()]
        try:
            if writer is None:
                raise sqlite3.OperationalError("there is no index")
            writer.execute("begin immediate")
            for work, future in batch:
                done.append((future, _do(writer, work)))
            reach("index-before-commit")
            writer.execute("commit")
        except Exception as error:  # noqa: BLE001 - the thread's outermost step: others wait for it
            self._failed(error)
            for _, future in batch:
                future.set_exception(StorageError(f"index: {error}"))
            return
        reach("index-committed")
        for future, result in done:
            if isinstance(result, _Failed):
                future.set_exception(StorageError(f"index: {result.error}"))
            else:
                future.set_result(result)

    def _failed(self, error: Exception) -> None:
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("rollback")
        if is_corruption(error):
            with contextlib.suppress(sqlite3.Error, OSError):
                self._replace()

    def set_aside(self) -> None:
        """Begin again with an empty index because a reader found this one broken."""
        epoch = self._epoch

        def replace(_: sqlite3.Connection) -> None:
            if self._epoch == epoch:
                raise sqlite3.DatabaseError("a reader found the index broken")

        with contextlib.suppress(StorageError):
            self.submit(replace)

    # -- reading -------------------------------------------------------------------------------

    def _reader(self) -> _Reader:
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None or reader.epoch != self._epoch:
            with self._lock:  # not while the files are being replaced
                reader = self._local.reader = _Reader(self._connect(), self._epoch)
                self._readers.append(reader)
        return reader

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Raises StorageError; a corrupt index is then already being replaced."""
        if not self.is_open:
            raise StorageError("there is no index")
        try:
            return self._reader().read(sql, values)
        except (sqlite3.Error, OSError, UnicodeError, OverflowError) as error:
            if is_corruption(error):
                self.set_aside()
            raise StorageError(f"index: {error}") from error

    def records(self, key: str) -> list[tuple[int, str, bytes]]:
        """(row, body, record) of every response that may be under `key`."""
        rows = self.read(
            "select id, body, record from responses where key = ? order by last_used desc limit 256",
            (record.key_number(key),),
        )
        return [(r, b, d) for r, b, d in rows if isinstance(r, int) and isinstance(b, str) and _is_bytes(d)]  # type: ignore[misc]


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes)


def is_corruption(error: Exception) -> bool:
    """Whether SQLite says the file is bad, as opposed to busy, full or unwritable."""
    return (
        isinstance(error, sqlite3.DatabaseError | UnicodeError)
        and not isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError)
    ) or "malformed" in str(error)
