"""Opening the disk tier: directory, limits, index, purges. Blocks for as long as a few small reads;
whatever depends on how much is stored is left to the sweep."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgeproxy import config
from edgeproxy.errors import StartError, StorageError
from edgeproxy.storage.body_file import is_body_id, path_of
from edgeproxy.storage.directory import Directory
from edgeproxy.storage.disk import DiskLimits, DiskTier
from edgeproxy.storage.disk_room import DiskRoom
from edgeproxy.storage.generations import Generations, log_line, read_log
from edgeproxy.storage.index import Index
from edgeproxy.storage.store import Purge, PurgeScope

LOG = "purges.log"
LOG_BYTES_MAX = 64 << 20
ROOM_BYTES = 1 << 20  # what opening may write


@dataclass(frozen=True, slots=True)
class Opened:
    """`trust_bodies` is false when purges were lost together with the index: then a body cannot be
    told from one that was purged. `temporary` are what an earlier process left half written."""

    disk: DiskTier
    trust_bodies: bool
    temporary: list[str]


def open_disk(
    settings: config.Cache,
    generations: Generations,
    event: Callable[[str, str, str], None],
    dropped: Callable[[list[str]], None],
) -> Opened:
    """Raises StartError."""
    directory = Directory(settings.directory)
    known = Index(directory.path / "index.sqlite3", broken=lambda text: event("corrupt_total", "index", text))
    try:
        _make_room(directory)
        known.start()
        held = max(0, _number(known, "select value from facts where name = 'held'"))
        limit = settings.disk or directory.default_limit(held)
        trust = _restore(directory, known, generations)
        temporary = directory.temporary_ids()
    except (OSError, sqlite3.Error, StorageError) as error:
        known.close()
        directory.close()
        raise StartError(f"cache directory {directory.path}: {error}") from error
    limits = DiskLimits(limit, settings.free_space, settings.errors, settings.retry_disk, settings.sync)
    disk = DiskTier(directory, limits, known, event=event, dropped=dropped)
    disk.partial_keys.expect()
    disk.room = DiskRoom(disk)
    disk.account(held)
    return Opened(disk, trust, temporary)


def _make_room(directory: Directory) -> None:
    """A node must start on a full disk too: a few files go, those worth least first. Their rows are dropped
    when they are looked at. Raises OSError."""
    freed = 0
    if directory.free_bytes() >= ROOM_BYTES:
        return
    for folder, name in _by_worth(directory):
        if freed >= ROOM_BYTES or directory.free_bytes() >= ROOM_BYTES:
            return
        with contextlib.suppress(OSError):
            size = os.stat(name, dir_fd=folder, follow_symlinks=False).st_blocks * 512
            os.unlink(name, dir_fd=folder)
            freed += size


def _by_worth(directory: Directory) -> Iterator[tuple[int, str]]:
    """(folder, name) of what may be removed."""
    yield from ((directory.temporary, name) for name in directory.temporary_ids())
    aside = os.listdir(directory.quarantine)
    yield from ((directory.quarantine, name) for name in aside if is_body_id(name))
    yield from ((directory.partial, name) for name in directory.partial_ids())
    yield from ((directory.bodies, path_of(body)) for body in directory.body_ids())


def _number(known: Index, sql: str) -> int:
    try:
        rows = known.read(sql)
    except StorageError:
        return 0  # it is being replaced
    value = rows[0][0]
    return value if isinstance(value, int) else 0


def _restore(directory: Directory, known: Index, generations: Generations) -> bool:
    """Purges of log and index together; tells whether none can have been lost."""
    log = directory.read(LOG, LOG_BYTES_MAX)
    purges, is_damaged = read_log(log)
    is_damaged = is_damaged or not log
    try:
        rows = known.read("select scope, value, soft, number from purges")
    except StorageError:
        rows = []
    for scope, value, soft, number in rows:
        if scope in set(PurgeScope) and isinstance(value, str) and isinstance(number, int):
            purges.append((number, Purge(PurgeScope(str(scope)), value, soft=bool(soft))))
    for number, purge in purges:
        generations.restore(number, purge)
    # A flipped bit may have made a row's number anything: it is believed only within reason.
    for table in ("responses", "partials"):
        highest = _number(known, f"select max(sequence) from {table}")
        if highest < 1 << 53:
            generations.sequence = max(generations.sequence, highest)
    try:
        write_log(directory, generations)
    except OSError:
        if is_damaged:
            raise
        # The disk is full, and the longer log says the same.
    return not is_damaged


def write_log(directory: Directory, generations: Generations) -> None:
    """Replace the log by one that says the same in fewest lines. Raises OSError."""
    lines = [log_line(number, purge) for number, purge in generations.purges()]
    # The last line carries the number itself, and purges nothing.
    lines.append(log_line(generations.sequence, Purge(PurgeScope.URL, "", soft=True)))
    directory.replace(LOG, b"".join(lines))
