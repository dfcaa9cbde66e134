"""A body's parts to a transport, seen from the other end of a real socket."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator

import pytest
from serving_stand import Parts, Serve, answering

from edgeproxy.errors import BodyAborted
from edgeproxy.message import FileSlice

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OLD = b"GET /z HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "length", "wanted"),
    [
        (LAST, 5, b"abcde"),
        (LAST, None, b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        (OLD, None, b"abcde"),
    ],
)
async def test_parts_are_framed_and_empty_ones_end_nothing(
    serve: Serve, line: bytes, length: int | None, wanted: bytes
) -> None:
    body = Parts(b"ab", b"", memoryview(b"cde"), length=length)
    served = await serve(answering(body))
    assert (await served.say(line)).partition(b"\r\n\r\n")[2] == wanted
    assert body.closed == 1


class _Later:
    """Parts of which none is there at once."""

    length = 2

    def __init__(self, begun: asyncio.Event) -> None:
        self._begun = begun

    async def parts(self) -> AsyncIterator[bytes]:
        await self._begun.wait()
        yield b"ab"

    async def aclose(self) -> None:
        pass


async def test_a_head_waits_for_no_part_that_is_not_there(serve: Serve) -> None:
    begun = asyncio.Event()
    served = await serve(answering(_Later(begun)))
    reader, writer = await served.connect()
    writer.write(LAST)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    begun.set()
    assert await reader.read() == b"ab"


@pytest.mark.parametrize("length", [2, None])
async def test_a_head_leaves_with_the_part_that_is_there(serve: Serve, length: int | None) -> None:
    served = await serve(answering(Parts(b"ab", length=length)))
    reader, writer = await served.connect()
    writer.write(GET)
    first = (await reader.read(100_000)).partition(b"\r\n\r\n")[2]
    assert first.startswith(b"ab" if length else b"2\r\nab\r\n")


@pytest.mark.parametrize("size", [100_000, 3_000_000])
async def test_large_parts_in_memory_arrive_as_they_are_and_are_counted(serve: Serve, size: int) -> None:
    data = os.urandom(size)
    served = await serve(answering(Parts(data, memoryview(data), length=2 * size)))
    assert (await served.say(LAST)).partition(b"\r\n\r\n")[2] == data + data
    assert served.metrics.value("client_bytes_total", "") == 2 * size


async def test_a_chunked_body_that_breaks_off_never_gets_its_last_chunk(serve: Serve) -> None:
    served = await serve(answering(Parts(b"ab", BodyAborted("cut"))))
    reader, writer = await served.connect()
    writer.write(GET)
    with pytest.raises(ConnectionResetError):
        await reader.readuntil(b"0\r\n\r\n")


@pytest.mark.parametrize("chunked", [False, True])
async def test_slices_of_a_file_are_sent_whole(serve: Serve, chunked: bool) -> None:
    data = os.urandom(5_000_000)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        parts = [b"<", FileSlice(file, 10, 4_500_000), FileSlice(file, 0, 5), b">"]
        served = await serve(answering(Parts(*parts, length=None if chunked else 4_500_007)))
        answer = await served.say(LAST)
    wanted = b"<" + data[10:4_500_010] + data[:5] + b">"
    content = answer.partition(b"\r\n\r\n")[2]
    if chunked:
        sizes = (1, 4_500_000, 5, 1)
        position, parts_found = 0, b""
        for size in sizes:
            line = b"%x\r\n" % size
            assert content[position:].startswith(line)
            position += len(line)
            parts_found += content[position : position + size]
            position += size + 2
        assert content[position:] == b"0\r\n\r\n"
        content = parts_found
    assert content == wanted


async def test_a_body_of_the_wrong_length_resets_the_connection(serve: Serve) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"12345")
        file.flush()
        for body in (
            Parts(b"short", length=9),
            Parts(b"longer", length=2),
            Parts(FileSlice(file, 0, 9), length=9),
        ):
            served = await serve(answering(body))
            with pytest.raises(ConnectionResetError):
                await served.say(GET)
            assert body.closed == 1
