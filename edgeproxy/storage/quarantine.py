"""Wrong bytes set aside for a person to look at: quarantine/<id>, and what is known in <id>.json.

Bounded by itself, oldest out first; where there is no room for it, the bytes go. Blocks."""

from __future__ import annotations

import contextlib
import os

import msgspec

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file
from edgeproxy.storage.disk import DiskTier


class Quarantine:
    """Of at most `bytes_max` bytes, 0 for none at all."""

    def __init__(self, disk: DiskTier, bytes_max: int) -> None:
        self._disk, self._bytes_max = disk, bytes_max

    def take(self, stored: StoredResponse, why: str, now: float, folder: int | None = None) -> None:
        """Move the file of a body here from `folder` (that of partial bodies), unless there is no room for
        it: then it stays where it is. Raises StorageError."""
        folder = self._disk.directory.partial if folder is None else folder
        try:
            size = os.stat(stored.body, dir_fd=folder).st_blocks * 512
            if self._has_room(size):
                self._describe(stored, why, now)
                aside = self._disk.directory.quarantine
                os.rename(stored.body, stored.body, src_dir_fd=folder, dst_dir_fd=aside)
        except OSError as error:
            raise self._disk.failed("write", error) from error

    def put(self, stored: StoredResponse, data: bytes, why: str, now: float) -> None:
        """The same for a body that is in RAM only."""
        try:
            if self._has_room(len(data)):
                self._describe(stored, why, now)
                self._write(stored.body, data)
        except OSError as error:
            raise self._disk.failed("write", error) from error

    def _has_room(self, size: int) -> bool:
        if size > self._bytes_max:
            return False
        self._trim(self._bytes_max - size)
        directory = self._disk.directory
        if directory.free_bytes() < self._disk.limits.free_bytes_min:
            self._trim(0)
        return directory.free_bytes() >= self._disk.limits.free_bytes_min

    def _describe(self, stored: StoredResponse, why: str, now: float) -> None:
        facts = {
            "key": stored.key.encode("utf-8", "replace").decode("utf-8"),
            "why": why.encode("utf-8", "replace").decode("utf-8"),
            "when": now,
            "expected": stored.digest,
            "bytes": stored.body_bytes,
        }
        self._write(f"{stored.body}.json", msgspec.json.encode(facts) + b"\n")

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._disk.directory.quarantine)
        try:
            body_file.write_all(fd, [data], 0)
        finally:
            os.close(fd)

    def trim(self) -> None:
        """Hold the bound, which a new configuration may have lowered. Raises StorageError."""
        try:
            self._trim(self._bytes_max)
        except OSError as error:
            raise self._disk.failed("remove", error) from error

    def _trim(self, bytes_max: int) -> None:
        """Remove the oldest until at most `bytes_max` bytes are left. Raises OSError."""
        folder = self._disk.directory.quarantine
        held: list[tuple[float, str, int]] = []
        described: set[str] = set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    described.add(entry.name[:-5])
                elif body_file.is_body_id(entry.name) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    held.append((status.st_mtime, entry.name, status.st_blocks * 512))
        size = sum(length for _, _, length in held)
        for _, name, length in sorted(held):
            if size > bytes_max:
                _remove(name, folder)
                _remove(f"{name}.json", folder)
                size -= length
        for name in described - {name for _, name, _ in held}:
            if body_file.is_body_id(name):
                _remove(f"{name}.json", folder)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
