"""After a start, in the background: partial files and the rows about them are made to agree. A file
without a row goes, for nobody can tell what it holds; a row without a file goes, too; what a partial body
takes is what its file says. Those in use have an owner who does all that."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

from edgeproxy.storage.disk import DiskTier

ROWS_BATCH = 500


def sweep_partials(disk: DiskTier, is_stopped: Callable[[], bool]) -> None:
    """Blocks. Raises StorageError, OSError."""
    for body in disk.directory.partial_ids():
        if is_stopped():
            return
        with disk.claims.briefly(body) as is_mine:
            if is_mine and not disk.index.read("select 1 from partials where id = ?", (body,)):
                with contextlib.suppress(OSError):
                    os.unlink(body, dir_fd=disk.directory.partial)
    after = ""
    while not is_stopped():
        rows = disk.index.read(
            "select id from partials where id > ? order by id limit ?", (after, ROWS_BATCH)
        )
        if not rows:
            return
        for (body_id,) in rows:
            after = str(body_id)
            with disk.claims.briefly(after) as is_mine:
                if is_mine:
                    _judge_row(disk, after)


def _judge_row(disk: DiskTier, body: str) -> None:
    rows = disk.index.read("select allocated from partials where id = ?", (body,))
    if not rows:
        return  # it has become a whole body in the meantime
    told = rows[0][0] if isinstance(rows[0][0], int) else 0
    try:
        status = os.stat(body, dir_fd=disk.directory.partial, follow_symlinks=False)
        is_file = stat.S_ISREG(status.st_mode)
    except FileNotFoundError:
        is_file = False
    if not is_file:
        disk.account(-disk.forget_partials([body]))
        return
    real = status.st_blocks * 512
    if real != told:
        sql = "update partials set allocated = ? where id = ?"
        disk.index.submit(lambda c: c.execute(sql, (real, body)) and None).result()
        disk.account(real - told)
