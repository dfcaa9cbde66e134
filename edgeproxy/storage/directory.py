"""The store's directory: who may use it, and what lies in it.

    CACHEDIR.TAG         so that backups leave it out
    VERSION              layout version, one number
    lock                 flock of the process that uses it
    index.sqlite3        (and -wal, -shm) the index; index.broken-* if one had to be set aside
    purges.log           purges, append-only
    purges.feed          the last purges as the nodes below this one are told of them
    purges.followed      the last purge seen of each parent
    tmp/<id>             bodies being written
    partial/<id>         bodies that are there in part
    bodies/aa/bb/<id>    bodies
    tls/                 the certificate of a node that signs its own, with its key
    quarantine/<id>      wrong bytes set aside, with what is known about them in <id>.json
    owners/<site>        which index a project belongs to (ledger.py); made when it is first needed
    owners/<site> hosts  which hosts the pages of a site's indexes have linked to; "%20" for the space

What has none of these names is not ours: it is neither read nor removed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from edgeproxy.errors import StartError
from edgeproxy.storage.body_file import is_body_id

LAYOUT = b"1\n"
TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This directory holds what edgeproxy has cached. Its content can be fetched again.\n"
)
DISK_SHARE = 5  # a fifth of what is free
DISK_MAX = 100 << 30
O_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def default_directory() -> str:
    """`edgeproxy` in the user's cache directory."""
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "edgeproxy")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "edgeproxy")


def directory_path(configured: str) -> Path:
    """The cache directory; `configured` is "" for that of the user."""
    return Path(configured or default_directory()).absolute()


class Directory:
    """A locked directory. Everything blocks. Raises StartError from `__init__` only."""

    def __init__(self, path: str) -> None:
        self.path = directory_path(path)
        self._fds: list[int] = []
        try:
            self._open()
        except OSError as error:
            self.close()
            raise StartError(f"cache directory {self.path}: {error.strerror or error}") from error
        except StartError:
            self.close()
            raise

    def _open(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except FileExistsError:
            raise StartError(f"cache directory {self.path}: is a file, not a directory") from None
        self._lock()
        self._check_layout()
        for name in ("bodies", "tmp", "partial", "quarantine"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path / name, 0o700)
        self.bodies = self._keep(os.open(self.path / "bodies", O_DIRECTORY))
        self.temporary = self._keep(os.open(self.path / "tmp", O_DIRECTORY))
        self.partial = self._keep(os.open(self.path / "partial", O_DIRECTORY))
        self.quarantine = self._keep(os.open(self.path / "quarantine", O_DIRECTORY))
        if not (self.path / "CACHEDIR.TAG").exists():
            self._create("CACHEDIR.TAG", TAG)

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = self._keep(os.open(self.path / "lock", flags, 0o600))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise StartError(f"cache directory {self.path} is used by another process") from error

    def _check_layout(self) -> None:
        found = self.read("VERSION", 64)
        if not found:
            self._create("VERSION", LAYOUT)
        elif found[:-1].isdigit() and found != LAYOUT:
            raise StartError(f"cache directory {self.path} has layout {found[:-1].decode()}, this is for 1")

    def _create(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self.path / name, flags, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "no space")
        finally:
            os.close(fd)

    def read(self, name: str, limit: int) -> bytes:
        """A small file of ours, b"" if there is none or it is not a regular file."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self.path / name, flags)
        except OSError:
            return b""
        with open(fd, "rb") as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else b""

    def replace(self, name: str, data: bytes) -> None:
        """Let a small file appear whole. Raises OSError."""
        self._create(name + ".new", data)
        os.rename(self.path / (name + ".new"), self.path / name)

    def free_bytes(self) -> int:
        status = os.statvfs(self.bodies)
        return status.f_bavail * status.f_frsize

    def default_limit(self, held: int) -> int:
        """A fifth of what would be free without our bodies, at most 100 GiB."""
        return min((self.free_bytes() + held) // DISK_SHARE, DISK_MAX)

    def body_ids(self) -> Iterator[str]:
        """Names of all bodies, whatever they turn out to be."""
        for first in _folders(self.bodies):
            with _Folder(self.bodies, first) as outer:
                for second in _folders(outer):
                    with _Folder(outer, second) as inner, os.scandir(inner) as entries:
                        for entry in entries:
                            if is_body_id(entry.name) and entry.name.startswith(first + second):
                                yield entry.name

    def temporary_ids(self) -> list[str]:
        return _files(self.temporary)

    def partial_ids(self) -> list[str]:
        return _files(self.partial)

    def unlock(self) -> None:
        """Let another process use the directory; files that are open here stay readable."""
        lock = self._fds.pop(0)
        os.close(lock)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


class _Folder:
    """A folder open by descriptor; an empty one (-1 is never listed) if it is none of ours."""

    def __init__(self, parent: int, name: str) -> None:
        self.fd = os.open(name, O_DIRECTORY, dir_fd=parent)

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _files(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return [e.name for e in entries if is_body_id(e.name) and e.is_file(follow_symlinks=False)]


def _folders(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return sorted(
            e.name
            for e in entries
            if len(e.name) == 2
            and all(c in "0123456789abcdef" for c in e.name)
            and e.is_dir(follow_symlinks=False)
        )
