"""The relay over real sockets. Lower bounds of time are exact, upper ones generous."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from benchmarks.link import Counts, Distance, Link, LinkProcess, read_distance

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
KIB, MIB = 1 << 10, 1 << 20


@contextlib.asynccontextmanager
async def linked(serve: Serve, distance: Distance) -> AsyncIterator[Link]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with Link(server.sockets[0].getsockname(), distance) as link:
            yield link
    finally:
        server.close()


async def connect(link: Link) -> Streams:
    host, _, port = link.address.partition(":")
    return await asyncio.open_connection(host, int(port))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say everything again once the other side has ended."""
    with contextlib.suppress(ConnectionError):
        writer.write(await reader.read())
        await writer.drain()
    writer.close()


def giving(data: bytes) -> Serve:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
            writer.write(data)
            await writer.drain()
        writer.close()

    return give


async def test_a_half_close_passes_and_bytes_stay_what_they_were() -> None:
    data = random.Random(1).randbytes(3 * MIB)
    async with linked(echo, Distance(rtt=0.01, rate_down=500e6, jitter=0.002, seed=4)) as link:
        reader, writer = await connect(link)
        writer.write(data)
        writer.write_eof()
        assert hashlib.sha256(await reader.read()).digest() == hashlib.sha256(data).digest()
        writer.close()
        counts = link.counts
        assert (counts.up_bytes, counts.down_bytes) == (len(data), len(data))


async def test_a_fresh_connection_costs_two_round_trips_and_a_kept_one_one() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1):
            writer.write(b"!")
        writer.close()

    async with linked(answer, Distance(rtt=0.1)) as link:
        times = []
        begun = time.monotonic()
        reader, writer = await connect(link)
        for _ in range(2):
            writer.write(b"?")
            await reader.readexactly(1)
            times.append(time.monotonic() - begun)
            begun = time.monotonic()
        writer.close()
    assert 0.199 <= times[0] < 2
    assert 0.099 <= times[1] < 1


async def test_a_client_may_be_nearer_than_others() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    near = {"127.0.30.1": Distance(rtt=0.02)}
    async with server, Link(server.sockets[0].getsockname(), Distance(rtt=0.3), distances=near) as link:
        host, _, port = link.address.partition(":")
        times = {}
        for address in ("127.0.30.1", "127.0.30.2"):
            begun = time.monotonic()
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=(address, 0))
            assert await reader.read() == b"!"
            writer.close()
            times[address] = time.monotonic() - begun
    assert 0.02 <= times["127.0.30.1"] < times["127.0.30.2"]
    assert times["127.0.30.2"] >= 0.3


async def test_two_connections_share_the_rate() -> None:
    async with linked(giving(bytes(MIB)), Distance(rate_down=4 * MIB, slow_start=False)) as link:

        async def fetch() -> int:
            reader, writer = await connect(link)
            writer.write(b"?")
            count = len(await reader.read())
            writer.close()
            return count

        begun = time.monotonic()
        assert await asyncio.gather(fetch(), fetch()) == [MIB, MIB]
        assert 0.45 <= time.monotonic() - begun < 5


async def test_a_cut_is_a_reset_after_the_very_byte() -> None:
    async with linked(giving(bytes(MIB)), Distance(cut_after=300_000)) as link:
        reader, writer = await connect(link)
        writer.write(b"?")
        with pytest.raises(ConnectionResetError):
            await reader.read() or pytest.fail("a clean end")
        writer.close()
        assert link.counts == Counts(1, 0, 0, 300_000, 1, 0, 1, link.counts.held)


async def test_a_cut_may_look_like_an_end() -> None:
    async with linked(giving(bytes(MIB)), Distance(cut_after=300_000, cut_kind="end")) as link:
        reader, writer = await connect(link)
        writer.write(b"?")
        assert len(await reader.read()) == 300_000
        writer.close()


async def test_a_reset_of_the_server_comes_out_as_a_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        hard = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
        writer.transport.abort()

    async with linked(reset, Distance(rtt=0.01)) as link:
        reader, writer = await connect(link)
        writer.write(b"?")
        with pytest.raises(ConnectionResetError):
            await reader.read() or pytest.fail("a clean end")
        writer.close()


async def test_a_reader_that_takes_nothing_stops_the_writer() -> None:
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(64 * KIB))
                await writer.drain()
                written += 64 * KIB

    async with linked(pour, Distance(rtt=0.02, rate_down=50e6)) as link:
        host, _, port = link.address.partition(":")
        idle = socket.socket()
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        idle.connect((host, int(port)))
        before = -1
        while written != before or not written:
            before = written
            await asyncio.sleep(0.5)
        assert link.counts.held < 4 * MIB
        assert link.counts.open == 1
        idle.close()


async def test_who_leaves_in_the_middle_is_sent_no_more() -> None:
    gone = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(64 * KIB))
                await writer.drain()
        gone.set()

    async with linked(pour, Distance(rtt=0.02, rate_down=50e6)) as link:
        reader, writer = await connect(link)
        writer.write(b"?")
        await reader.readexactly(MIB)
        writer.close()
        await asyncio.wait_for(gone.wait(), 20)
        assert link.counts.open == 0


async def test_nobody_there_is_told_after_a_round_trip() -> None:
    async with linked(echo, Distance(rtt=0.05)) as link:
        link._to = ("127.0.0.1", 1)
        begun = time.monotonic()
        reader, writer = await connect(link)
        with pytest.raises(ConnectionResetError):
            await reader.read() or pytest.fail("a clean end")
        assert time.monotonic() - begun >= 0.049
        writer.close()
        assert link.counts.refused == 1


async def test_in_the_dark_nothing_arrives_and_connecting_hangs_until_there_is_light() -> None:
    async with linked(echo, Distance(rtt=0.01)) as link:
        reader, writer = await connect(link)
        await asyncio.sleep(0.1)
        link.dark()
        writer.write(b"hello")
        writer.write_eof()
        answer = asyncio.ensure_future(reader.read())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connect(link), 0.4)
        assert not answer.done()
        link.light()
        assert await asyncio.wait_for(answer, 20) == b"hello"
        writer.close()
        _, again = await asyncio.wait_for(connect(link), 20)
        again.close()


async def test_a_link_that_refuses_is_found_at_the_same_address_later() -> None:
    async with linked(giving(b"here"), Distance()) as link:
        address = link.address
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(link)
        link.accept()
        assert link.address == address
        reader, writer = await connect(link)
        writer.write(b"?")
        assert await reader.read() == b"here"
        writer.close()


async def test_a_process_of_its_own_obeys_and_counts() -> None:
    server = await asyncio.start_server(giving(bytes(1000)), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    def use() -> tuple[Counts, Counts]:
        with LinkProcess(f"{host}:{port}", Distance(rtt=0.01, slow_start=False)) as link:
            there, _, at = link.address.partition(":")
            with socket.create_connection((there, int(at)), timeout=30) as client:
                client.sendall(b"?")
                while client.recv(4096):
                    pass
            first = link.counts()
            link.order("distance rtt=1ms rate=1Mbit/s")
            return first, link.order("refuse")

    first, last = await asyncio.to_thread(use)
    server.close()
    assert (first.connections, first.down_bytes, first.up_bytes) == (1, 1000, 1)
    assert last.down_bytes == 1000


@pytest.mark.parametrize(
    ("settings", "distance"),
    [
        ([], Distance()),
        (["rtt=80ms", "rate=1Gbit/s"], Distance(rtt=0.08, rate_down=125e6, rate_up=125e6)),
        (["rtt=0.5s", "rate_down=10MiB/s"], Distance(rtt=0.5, rate_down=10 * MIB)),
        (["jitter=500us", "window=4MiB", "seed=7"], Distance(jitter=0.0005, window=4 * MIB, seed=7)),
        (
            ["loss=1e-5", "slow_start=no", "cut_kind=end"],
            Distance(loss=1e-5, slow_start=False, cut_kind="end"),
        ),
    ],
)
def test_a_distance_is_read_with_its_units(settings: list[str], distance: Distance) -> None:
    assert read_distance(settings) == distance


@pytest.mark.parametrize("setting", ["rtt=", "rate=1Gb", "speed=1", "window=4M"])
def test_a_setting_that_is_not_understood_is_refused(setting: str) -> None:
    with pytest.raises(ValueError):
        read_distance([setting])
