"""Content: whole or in pieces, from RAM or a checked file."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from pipeline_house import Scripted

from edgeproxy.errors import BodyAborted, ProxyError, StorageError, UpstreamError
from edgeproxy.message import Body, FileSlice, Part
from edgeproxy.pipeline.content import CHECKED_RUN_BYTES, PassingContent, stored_content


@dataclass
class OnDisk:
    """A stored body that is not in RAM; `damaged` lies at or after that offset."""

    size: int
    damaged: int | None = None
    data: bytes | None = None
    checked: list[tuple[int, int]] = field(default_factory=list)
    closed: int = 0

    async def check(self, start: int, end: int) -> None:
        self.checked.append((start, end))
        if self.damaged is not None and start <= self.damaged < end:
            raise StorageError("damaged")

    def slice(self, start: int, end: int) -> Part:
        return FileSlice(self, start, end - start)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.closed += 1


async def offsets(body: Body) -> list[tuple[int, int] | bytes]:
    taken = [part async for part in body.parts()]
    await body.aclose()
    return [(part.offset, part.length) if isinstance(part, FileSlice) else bytes(part) for part in taken]


async def test_a_file_is_proven_run_by_run_before_it_is_sent() -> None:
    stored = OnDisk(CHECKED_RUN_BYTES + 10)
    body = stored_content(stored).body(None)
    assert body.length == stored.size
    assert await offsets(body) == [(0, CHECKED_RUN_BYTES), (CHECKED_RUN_BYTES, 10)]
    assert stored.checked == [(0, CHECKED_RUN_BYTES), (CHECKED_RUN_BYTES, stored.size)]
    assert stored.closed == 1


async def test_pieces_come_in_order_with_their_heads() -> None:
    body = stored_content(OnDisk(100)).body((b"head", (5, 10), b"next", (50, 60)))
    assert body.length == 4 + 5 + 4 + 10
    assert await offsets(body) == [b"head", (5, 5), b"next", (50, 10)]


async def test_damage_ends_the_body_before_it_is_sent() -> None:
    body = stored_content(OnDisk(100, damaged=7)).body(None)
    with pytest.raises(BodyAborted):
        await offsets(body)


async def test_what_is_in_ram_needs_no_file() -> None:
    stored = OnDisk(5, data=b"hello")
    content = stored_content(stored)
    assert stored.closed == 1
    assert await offsets(content.body(((1, 3), b"-", (0, 1)))) == [b"el-h"]


async def test_an_upstream_that_breaks_off_aborts_the_body() -> None:
    cut = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")
    counted: list[int] = []
    body = PassingContent(Scripted(pieces=(b"half", cut), length=8), counted.append)
    with pytest.raises(BodyAborted):
        await offsets(body)
    assert counted == [4]
