"""What plain_server.py answers to a GET: known bytes, not copied."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from benchmarks import bodies, records

_PIECE = 1 << 19
_KNOWN_MAX = 4096
Pieces = list[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: tuple[tuple[str, str], ...]
    pieces: Pieces
    size: int


@functools.lru_cache(maxsize=_KNOWN_MAX)
def answer(target: str) -> Answer:
    """What a GET of a target gets. Bodies are not copied: their pieces lie in bodies.py."""
    size = bodies.size_of(target)
    if size is not None:
        pieces: Pieces = [bodies.piece(target, at, min(_PIECE, size - at)) for at in range(0, size, _PIECE)]
        fields = (("content-type", "application/octet-stream"), ("cache-control", "max-age=86400"))
        return Answer(200, fields, pieces, size)
    if record := records.within(target):
        text = records.as_json(record)
        fields = (("content-type", "application/json"), ("cache-control", "no-store"))
        return Answer(200, fields, [text], len(text))
    return Answer(404, (), [], 0)
