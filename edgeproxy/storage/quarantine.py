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

    def take(self, stored: StoredResponse, why: str, now: float) -> None:
        """Move the file of a partial body here, unless there is no room for it: then it stays where it is.
        Raises StorageError."""
        directory = self._disk.directory
        try:
            size = os.stat(stored.body, dir_fd=directory.partial).st_blocks * 512
            if size > self._bytes_max:
                return
            self._trim(self._bytes_max - size)
            if directory.free_bytes() < self._disk.limits.free_bytes_min:
                self._trim(0)
                if directory.free_bytes() < self._disk.limits.free_bytes_min:
                    return
            self._describe(stored, why, now)
            os.rename(stored.body, stored.body, src_dir_fd=directory.partial, dst_dir_fd=directory.quarantine)
        except OSError as error:
            raise self._disk.failed("write", error) from error

    def _describe(self, stored: StoredResponse, why: str, now: float) -> None:
        facts = {
            "key": stored.key.encode("utf-8", "replace").decode("utf-8"),
            "why": why.encode("utf-8", "replace").decode("utf-8"),
            "when": now,
            "expected": stored.digest,
            "bytes": stored.body_bytes,
        }
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"{stored.body}.json", flags, 0o600, dir_fd=self._disk.directory.quarantine)
        try:
            body_file.write_all(fd, [msgspec.json.encode(facts) + b"\n"], 0)
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
