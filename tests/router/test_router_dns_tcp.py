"""DNS over TCP with real connections."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import dns.message
import pytest
from dns_world import Server

from edgeproxy.router.dns_settings import TcpSettings
from edgeproxy.router.dns_tcp import TcpListener, bind_tcp


def framed(name: str = "www.cdn.example", rtype: str = "A", number: int = 1) -> bytes:
    data = dns.message.make_query(name, rtype, id=number).to_wire()
    return len(data).to_bytes(2, "big") + data


class Listening:
    def __init__(self, **limits: Any) -> None:
        self.server = Server()
        self.failures: list[str] = []
        self.listener = TcpListener(TcpSettings(**limits), self.answer, self._report)
        self.port = 0

    async def start(self) -> None:
        bound = bind_tcp("127.0.0.1", 0, reuse_port=False)
        self.port = bound.getsockname()[1]
        await self.listener.start(bound)

    def answer(self, data: bytes, host: str, transport: str) -> bytes | None:
        if data.endswith(b"break"):
            raise RuntimeError("broken")
        return self.server.raw(data, host, transport)

    def _report(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what}: {error}")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def listening(request: pytest.FixtureRequest) -> AsyncIterator[Listening]:
    made = Listening(**getattr(request, "param", {}))
    await made.start()
    yield made
    await made.listener.aclose()


async def message(reader: asyncio.StreamReader) -> dns.message.Message:
    async with asyncio.timeout(20):
        length = int.from_bytes(await reader.readexactly(2), "big")
        return dns.message.from_wire(await reader.readexactly(length))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(20):
            return await reader.read() == b""
    except ConnectionError:
        return True


async def test_many_questions_at_once_are_answered_in_their_order(listening: Listening) -> None:
    reader, writer = await listening.connect()
    writer.write(b"".join(framed(number=number) for number in range(300)))
    assert [(await message(reader)).id for _ in range(300)] == list(range(300))
    writer.close()


async def test_a_question_may_come_byte_by_byte(listening: Listening) -> None:
    reader, writer = await listening.connect()
    for byte in framed(number=7):
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(0)
    assert (await message(reader)).id == 7
    writer.close()


async def test_who_ends_its_half_still_gets_all_answers(listening: Listening) -> None:
    reader, writer = await listening.connect()
    writer.write(b"".join(framed("big.cdn.example", "TXT", number) for number in range(500)))
    writer.write_eof()
    assert [(await message(reader)).id for _ in range(500)] == list(range(500))
    assert await is_closed(reader)
    writer.close()


@pytest.mark.parametrize("data", [b"\0\0", b"\0\x05hello", b"GET / HTTP/1.1\r\n\r\n" + bytes(20000)])
async def test_who_does_not_speak_dns_is_left(listening: Listening, data: bytes) -> None:
    reader, writer = await listening.connect()
    writer.write(data)
    rest = await asyncio.wait_for(reader.read(100), 20)
    assert rest == b"" or rest[2:4] == data[2:4]
    writer.close()


async def test_an_answer_sent_to_us_ends_the_connection(listening: Listening) -> None:
    reader, writer = await listening.connect()
    writer.write(b"\0\x0c" + b"\0\0\x80" + bytes(9))
    assert await is_closed(reader)
    writer.close()


@pytest.mark.parametrize("listening", [{"connections": 3, "connections_of_one": 2}], indirect=True)
async def test_connections_are_bounded_and_their_places_come_free(listening: Listening) -> None:
    kept = [await listening.connect() for _ in range(2)]
    for reader, writer in kept:
        writer.write(framed())
        await message(reader)
    reader, writer = await listening.connect()
    writer.write(framed())
    assert await is_closed(reader)
    writer.close()
    kept[0][1].write_eof()
    assert await is_closed(kept[0][0])
    reader, writer = await listening.connect()
    writer.write(framed(number=9))
    assert (await message(reader)).id == 9
    for _, one in (*kept, (reader, writer)):
        one.close()


@pytest.mark.parametrize("listening", [{"questions": 3}], indirect=True)
async def test_a_connection_ends_after_so_many_questions(listening: Listening) -> None:
    reader, writer = await listening.connect()
    writer.write(framed() * 5)
    for _ in range(3):
        await message(reader)
    assert await is_closed(reader)
    writer.close()


@pytest.mark.parametrize("listening", [{"idle_seconds": 0.2}], indirect=True)
@pytest.mark.parametrize("start", [b"", b"\0", framed()[:10]])
async def test_a_connection_that_asks_nothing_whole_is_closed(listening: Listening, start: bytes) -> None:
    reader, writer = await listening.connect()
    writer.write(start)
    assert await is_closed(reader)
    writer.close()


@pytest.mark.parametrize("listening", [{"idle_seconds": 0.3, "questions": 10**6}], indirect=True)
async def test_who_takes_no_answers_is_not_read_from_and_closed(listening: Listening) -> None:
    reader, writer = await listening.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    asked = framed("big.cdn.example", "TXT") * 1000

    async def flood() -> None:
        while True:
            writer.write(asked)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(flood(), 20)
    assert listening.server.metrics.value("dns_answers_total", "NOERROR", "tcp", "plain") < 100_000
    assert reader is not None


async def test_an_error_of_ours_ends_the_connection_and_is_told(listening: Listening) -> None:
    reader, writer = await listening.connect()
    writer.write(b"\0\x11" + bytes(12) + b"break")
    assert await is_closed(reader)
    assert listening.failures == ["dns over tcp: broken"]
    reader, writer = await listening.connect()
    writer.write(framed(number=3))
    assert (await message(reader)).id == 3
    writer.close()
