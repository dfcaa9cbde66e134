"""One request with what its answer must be, and whoever is told what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is sent for a target (`head`: for HTTP/1.1 the whole request, for HTTP/2 its field block, with
    `content` after it) and the bytes of the answer: byte p is `block[(begin + p) % period]`, `size` of
    them. `block` is None where they are not known."""

    target: str
    head: bytes
    content: bytes = b""
    block: bytes | None = None
    begin: int = 0
    period: int = 1
    size: int = 0

    def is_right(self, position: int, data: memoryview | bytes) -> bool:
        """Every byte is compared; `data` is not longer than `period`."""
        block = self.block
        return block is None or block.startswith(data, (self.begin + position) % self.period)


class Exchange:
    """One request. `due` is the moment its latency counts from, `first_byte` when its answer began (0.0
    before that), both on the monotonic clock; `rtt` is the emulated round trip, in seconds."""

    __slots__ = ("connection", "due", "first_byte", "is_measured", "is_over", "rtt", "wanted", "was_refused")

    def __init__(self, wanted: Wanted, due: float, is_measured: bool) -> None:
        self.wanted = wanted
        self.due = due
        self.is_measured = is_measured
        self.first_byte = self.rtt = 0.0
        self.is_over = self.was_refused = False
        self.connection: Connection | None = None


class Connection(Protocol):
    """What the owner of connections asks of one. `give_up` forgets an exchange that took too long."""

    is_open: bool

    def ask(self, exchange: Exchange) -> None: ...

    def give_up(self, exchange: Exchange) -> None: ...

    def close(self) -> None: ...


class Owner(Protocol):
    """Whoever holds the connections. Each exchange handed to one comes back by `answered`, `failed` or
    `refused` (the server has told that it did not begin), once; `freed` tells that a connection takes one
    request more, `lost` that it takes none any more."""

    received: int
    """Bytes of bodies so far; connections count them up."""

    def opened(self, connection: Any, room: int) -> None: ...

    def answered(self, exchange: Exchange, now: float) -> None: ...

    def failed(self, exchange: Exchange, kind: str) -> None: ...

    def refused(self, exchange: Exchange) -> None: ...

    def freed(self, connection: Any) -> None: ...

    def lost(self, connection: Any) -> None: ...
