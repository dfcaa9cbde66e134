"""Lines of a log, plain or compressed with gzip, whatever its name; a stream that cannot be sought will do.

Memory is bounded: a block at a time is held, and of a line that is too long nothing."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO

BLOCK_BYTES = 1 << 20
LINE_BYTES_MAX = 64 << 10
_GZIP = b"\x1f\x8b"


class DamagedLog(Exception):
    """The rest of a log cannot be read; the text says why, in one line."""


def lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Each line without its end; None for one longer than 64 KiB. Raises DamagedLog where the log cannot be
    read on."""
    rest, is_cut = b"", False
    for block in _blocks(stream):
        first, *more = (rest + block).split(b"\n")
        if not more:
            rest, is_cut = _bounded(first, is_cut)
            continue
        yield None if is_cut or len(first) > LINE_BYTES_MAX else first
        for line in more[:-1]:
            yield line if len(line) <= LINE_BYTES_MAX else None
        rest, is_cut = _bounded(more[-1], is_cut=False)
    if rest or is_cut:
        yield None if is_cut else rest


def _bounded(rest: bytes, is_cut: bool) -> tuple[bytes, bool]:
    """The beginning of a line, and whether it is too long already, when nothing of it is kept."""
    return (b"", True) if is_cut or len(rest) > LINE_BYTES_MAX else (rest, False)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    buffered = io.BufferedReader(stream, BLOCK_BYTES)  # type: ignore[type-var]
    try:
        is_gzip = buffered.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
        content = gzip.GzipFile(fileobj=buffered) if is_gzip else buffered
        while block := content.read(BLOCK_BYTES):
            yield block
    except EOFError:
        raise DamagedLog("the compressed log ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DamagedLog(f"the compressed log is damaged: {error}") from None
    except OSError as error:
        raise DamagedLog(f"the log cannot be read: {error.strerror or error}") from None
    finally:
        buffered.detach()
