"""Facts that must outlive everything else that is stored: one line each, only ever added.

    <name> TAB <value> LF

The last line about a name counts. Eviction and purges do not touch a ledger; an operator takes a line
out with an editor while the node is stopped. A line that a crash has cut off is no line."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from edgeproxy.errors import StorageError
from edgeproxy.storage.body_file import write_all
from edgeproxy.storage.directory import default_directory

FOLDER = "owners"
BYTES_MAX = 64 << 20
LINE_BYTES_MAX = 4096


def ledger_path(directory: str, name: str) -> Path:
    """Where the ledger of that name is in a cache directory ("" for the default one)."""
    return Path(directory or default_directory()).absolute() / FOLDER / quote(name, safe="")


class Ledger:
    """The ledger in the file `path`, which `add` makes when it is first needed. Blocks; any thread."""

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        self._path = path
        self._report = report
        self._lock = threading.Lock()
        self._is_broken = False

    def read(self) -> dict[str, str]:
        """Everything noted. Raises StorageError if it is there and cannot be read."""
        try:
            with open(self._path, "rb") as file:
                data = file.read(BYTES_MAX)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        found: dict[str, str] = {}
        for line in data.split(b"\n")[:-1]:
            name, mark, value = line.partition(b"\t")
            if mark and name.isascii() and value.isascii():
                found[name.decode()] = value.decode()
        return found

    def add(self, name: str, value: str) -> None:
        """Note that `name` is `value`; it is on disk when this returns. Trouble is reported, the first of a
        row, and costs the memory of a restart. Raises ValueError for what would not be one line."""
        line = f"{name}\t{value}\n".encode("ascii")
        if line.count(b"\n") != 1 or line.count(b"\t") != 1 or len(line) > LINE_BYTES_MAX:
            raise ValueError("not one line")
        with self._lock:
            try:
                self._append(line)
                self._is_broken = False
            except (OSError, StorageError) as error:
                if not self._is_broken:
                    self._report(f"{self._path} cannot be written, and a restart will forget {name}: {error}")
                self._is_broken = True

    def _append(self, line: bytes) -> None:
        is_new = not self._path.exists()
        if is_new:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            end = os.fstat(fd).st_size
            if end + len(line) > BYTES_MAX:
                raise StorageError(f"more than {BYTES_MAX} bytes")
            if end and os.pread(fd, 1, end - 1) != b"\n":  # a crash, or a full disk, cut the last line off
                line = b"\n" + line
            write_all(fd, [line], end)
            os.fsync(fd)
        finally:
            os.close(fd)
        if is_new:
            _sync_folder(self._path.parent)


def _sync_folder(folder: Path) -> None:
    """What a new file is called has to be on disk as well."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
