"""Holes in files: blocks are given back to the file system and read as zeros (fallocate(2), Linux)."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02
_IMPOSSIBLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM)


def punch(fd: int, start: int, end: int) -> bool:
    """Give back the blocks of [start, end); the length of the file stays. False where that is not
    possible. Raises OSError."""
    if not sys.platform.startswith("linux") or end <= start:
        return False
    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return False
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if fallocate(fd, KEEP_SIZE | PUNCH_HOLE, start, end - start) == 0:
        return True
    number = ctypes.get_errno()
    if number in _IMPOSSIBLE:
        return False
    raise OSError(number, os.strerror(number))
