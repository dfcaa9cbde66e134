"""What an origin can do wrong with a body, each a set number of times and then no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

Kind = Literal["cut", "stall", "flip"]


@dataclass
class Fault:
    """`cut` ends the connection before byte `at`, `stall` is silent for an hour there, `flip` sends that one
    byte inverted. `times` is how many answers are still to have it."""

    kind: Kind
    at: int
    times: int = 1

    @classmethod
    def read(cls, query: Mapping[str, list[str]]) -> Self:
        """From the query of an order. Raises ValueError and KeyError."""
        (kind,) = query["kind"]
        if kind not in get_args(Kind):
            raise ValueError(f"no such fault: {kind!r}")
        return cls(kind, int(query["at"][0]), int(query["times"][0]))  # type: ignore[arg-type]

    def strikes(self, start: int, end: int) -> bool:
        """Whether an answer that is to send [start, end) has it; such an answer uses it up."""
        if self.times > 0 and start <= self.at < end:
            self.times -= 1
            return True
        return False


def flipped(data: memoryview, start: int, at: int) -> bytes | memoryview:
    """`data`, which stands at `start`, with byte `at` inverted if it is in it."""
    if not start <= at < start + len(data):
        return data
    changed = bytearray(data)
    changed[at - start] ^= 0xFF
    return bytes(changed)
