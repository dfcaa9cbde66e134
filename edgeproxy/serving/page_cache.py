"""Whether bytes of a file can be sent at once: sendfile would wait for the disk, and the loop with it,
for pages that are not in the page cache."""

from __future__ import annotations

import errno
import os

_LOAD_BYTES = 256 << 10


def holds(descriptor: int, offset: int, size: int) -> bool:
    """Looks at the first, the middle and the last byte of the range: the kernel reads ahead and drops
    pages in long runs. Where the system cannot tell, says yes."""
    flag = getattr(os, "RWF_NOWAIT", 0)
    if not flag or size <= 0:
        return True
    byte = [bytearray(1)]
    try:
        middle = (offset + size // 2,) if size > _LOAD_BYTES else ()
        for at in (offset, *middle, offset + size - 1):
            os.preadv(descriptor, byte, at, flag)
    except BlockingIOError:
        return False
    except OSError:
        return True  # not supported by this file system; or sendfile will meet the same trouble
    return True


def read(descriptor: int, offset: int, buffer: memoryview) -> int | None:
    """Read into `buffer` what the page cache holds, without waiting; None where it would have to. Fewer
    bytes than asked for are the beginning of what is there; 0 is the end of the file."""
    flag = getattr(os, "RWF_NOWAIT", 0)
    if not flag:
        return None
    try:
        return os.preadv(descriptor, [buffer], offset, flag)
    except OSError:
        return None


def gather(descriptor: int, places: list[memoryview], offset: int) -> int:
    """Read into `places`, one after the other, what the page cache holds, without waiting. Raises
    BlockingIOError where it would have to. Where the system cannot tell, it may wait."""
    flag = getattr(os, "RWF_NOWAIT", 0)
    if flag:
        try:
            return os.preadv(descriptor, places, offset, flag)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # this file system does not know the flag
                raise
    return os.preadv(descriptor, places, offset)


def load(descriptor: int, offset: int, size: int) -> None:
    """Read the range once, so that it is in the page cache. Blocks: call it in a thread."""
    buffer = [bytearray(_LOAD_BYTES)]
    end = offset + size
    while offset < end:
        try:
            count = os.preadv(descriptor, buffer, offset)
        except OSError:
            return  # sendfile will meet it, and tell
        if not count:
            return
        offset += count
