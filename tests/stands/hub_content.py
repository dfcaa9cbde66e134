"""Contents of a hub's files: bytes in memory, or a pattern of any size that is never held whole.

A content knows the hashes by which the hub names it: git's SHA-1 of the blob, the SHA-256, the pointer
git holds instead of a large file, and a Xet hash (any 64 hex; here derived from the SHA-256)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Protocol

PIECE_BYTES = 256 << 10
_STAMPS_EVERY = 64 << 10


class Content(Protocol):
    """What a file holds. `read` may be asked for any part inside `size`."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def read(self, start: int, end: int) -> bytes: ...


class Held:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def read(self, start: int, end: int) -> bytes:
        return self.data[start:end]


class Pattern:
    """`size` deterministic bytes, the same for the same name in every process, after a given `front`.

    Every 64 KiB carry their own number, so that a part in a wrong place is seen. `claimed` stands for the
    SHA-256 of what is too large to be hashed, or is a lie."""

    def __init__(self, name: str, size: int, front: bytes = b"", claimed: str = "") -> None:
        self.name = name
        self.front = front
        self.size = size
        self.claimed = claimed

    @cached_property
    def sha256(self) -> str:
        return self.claimed or _digest_of(self.name, self.size, self.front)

    def read(self, start: int, end: int) -> bytes:
        first = start // PIECE_BYTES
        last = (max(end, start + 1) - 1) // PIECE_BYTES
        joined = b"".join(self._piece(number) for number in range(first, last + 1))
        shift = first * PIECE_BYTES
        data = joined[start - shift : end - shift]
        if start < len(self.front):
            front = self.front[start:end]
            data = front + data[len(front) :]
        return data

    def _piece(self, number: int) -> bytes:
        piece = bytearray(_noise(self.name))
        for offset in range(0, PIECE_BYTES, _STAMPS_EVERY):
            stamp = number * (PIECE_BYTES // _STAMPS_EVERY) + offset // _STAMPS_EVERY
            piece[offset : offset + 8] = stamp.to_bytes(8, "big")
        return bytes(piece)


@cache
def _noise(name: str) -> bytes:
    return random.Random(name).randbytes(PIECE_BYTES)


@cache
def _digest_of(name: str, size: int, front: bytes) -> str:
    digest = hashlib.sha256()
    for piece in pieces(Pattern(name, size, front), 0, size):
        digest.update(piece)
    return digest.hexdigest()


def pieces(content: Content, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` to before `end`, cut where the pattern is cut."""
    while start < end:
        until = min(end, (start // PIECE_BYTES + 1) * PIECE_BYTES)
        yield content.read(start, until)
        start = until


def as_content(value: Content | bytes | str) -> Content:
    if isinstance(value, str):
        value = value.encode()
    return Held(value) if isinstance(value, bytes) else value


def git_object(kind: str, data: bytes) -> tuple[str, bytes]:
    """The SHA-1 of a git object and what it is the SHA-1 of."""
    framed = f"{kind} {len(data)}\0".encode() + data
    return hashlib.sha1(framed).hexdigest(), framed


def pointer(content: Content) -> bytes:
    """What git holds of a large file (git-lfs, docs/spec.md)."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{content.sha256}\nsize {content.size}\n"
    return text.encode()


def xet_hash(content: Content) -> str:
    return hashlib.blake2b(f"xet {content.sha256}".encode(), digest_size=32).hexdigest()
