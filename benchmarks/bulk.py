"""A store of very many responses, written without HTTP: `python -m benchmarks.bulk DIRECTORY COUNT SECONDS`.

The node must not run. One response that the node itself has stored under `/b/SIZE/NAME-0` is the pattern:
its record, with another key, body and digest, is that of `/b/SIZE/NAME-1` and so on. Body files are written
with the storage package's own footer, rows with its own statements, so that what comes out is what the node
would have written. Left out are its order (a file, then its row), so that one process can write files and
one rows, and the sync of each transaction. Ends at COUNT or after SECONDS, and says how many there are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from benchmarks import bodies
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, record, tables
from edgeproxy.storage.integrity import RunningChecksums
from edgeproxy.storage.schema import prepare

BATCH = 2000
BLOCK = 4096


def pattern(connection: sqlite3.Connection) -> StoredResponse:
    """The response under the name that ends with 0. Raises ValueError if the node has stored none."""
    sql = "select record from responses where address like '%-0' or address like '%-0?%'"
    for (data,) in connection.execute(sql):
        return record.decode(data)
    raise ValueError("the node has stored no pattern")


def numbered(stored: StoredResponse, number: int, count: int) -> tuple[StoredResponse, bytes]:
    """The response number `number` of `count` after the pattern, and its body. Names of bodies are spread
    evenly and grow with the number, which writes folders and trees one after the other."""
    key = stored.key.replace("-0", f"-{number}", 1)
    target = key[key.index("/b/") :]
    body = bytes(bodies.piece(bodies.within(target), 0, stored.body_bytes))
    place = f"{number * (1 << 32) // count:08x}"
    made = replace(
        stored,
        key=key,
        body=place + hashlib.blake2b(key.encode(), digest_size=12).hexdigest(),
        digest=hashlib.sha256(body).hexdigest(),
    )
    return made, body


def write_file(directory: int, stored: StoredResponse, body: bytes) -> int:
    """One body file in the store's folders; gives the bytes it holds."""
    sums = RunningChecksums()
    sums.add(body)
    footer = body_file.footer_bytes(stored.body, stored, len(body), sums.finish())
    path = body_file.path_of(stored.body)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        fd = os.open(path, flags, 0o600, dir_fd=directory)
    except FileNotFoundError:
        for folder in (path[:2], path[:5]):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700, dir_fd=directory)
        fd = os.open(path, flags, 0o600, dir_fd=directory)
    try:
        return body_file.write_all(fd, [body, footer], 0)
    finally:
        os.close(fd)


def write_files(store: Path, stored: StoredResponse, count: int, orders: int, progress: int) -> None:
    """Body files from number 1 on, a batch for each byte that comes from the pipe `orders`; the number
    reached goes to the pipe `progress`."""
    directory = os.open(store / "bodies", os.O_RDONLY)
    for first in range(1, count, BATCH):
        if not os.read(orders, 1):
            return
        end = min(first + BATCH, count)
        for number in range(first, end):
            write_file(directory, *numbered(stored, number, count))
        os.write(progress, b"%d\n" % end)


def write_rows(
    connection: sqlite3.Connection, stored: StoredResponse, first: int, end: int, count: int
) -> None:
    """Rows of the responses `first` to `end`, that left out, in one transaction."""
    connection.execute("begin immediate")
    for number in range(first, end):
        made, body = numbered(stored, number, count)
        data = record.encode(made)
        taken = -(-(len(body) + len(data) + 4 + body_file.TRAILER_BYTES) // BLOCK) * BLOCK
        tables.put(connection, made, data, taken, stored.response_time + number / count)
    connection.execute("commit")


def fill(store: Path, count: int, seconds: float) -> int:
    """Fill the store to `count` responses with the pattern among them, or as far as `seconds` go; gives how
    many there are."""
    until = time.monotonic() + seconds
    connection = sqlite3.connect(store / "index.sqlite3", isolation_level=None)
    prepare(connection)
    for setting in ("synchronous = off", "cache_size = -262144", "wal_autocheckpoint = 100000"):
        connection.execute(f"pragma {setting}")
    stored = pattern(connection)
    ordered, ordering = os.pipe()
    reached, reaching = os.pipe()
    child = os.fork()
    if not child:
        os.close(ordering)
        status = 1
        try:
            write_files(store, stored, count, ordered, reaching)
            status = 0
        finally:
            os._exit(status)  # the connection is the parent's
    os.close(ordered)
    os.close(reaching)
    number = 1
    with open(reached, "rb") as progress, open(ordering, "wb", buffering=0) as orders:
        orders.write(b".")
        for line in progress:
            first, number = number, int(line)
            is_last = number == count or time.monotonic() > until
            if not is_last:
                orders.write(b".")  # the next batch of files is written beside these rows
            write_rows(connection, stored, first, number, count)
            if is_last:
                break
    _, status = os.waitpid(child, 0)
    connection.close()
    if os.waitstatus_to_exitcode(status):
        raise OSError("the files could not be written")
    return number


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))  # nothing is measured meanwhile
    begun = time.perf_counter()
    count = fill(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print(json.dumps({"count": count, "seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
