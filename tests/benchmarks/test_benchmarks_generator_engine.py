"""Whole runs, short ones, on servers that stall, fail and lie."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks import bodies
from benchmarks.generator import Outcome, Plan
from benchmarks.generator.engine import follow

TARGET = bodies.path(1000, "a")
BODY = bytes(bodies.piece(TARGET, 0, 1000))
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY
Answering = Callable[[int], Awaitable[bytes]]


@asynccontextmanager
async def serving(answer: Answering) -> AsyncIterator[str]:
    """A server that answers its n-th request as told; b"" closes the connection."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                count += 1
                if not (data := await answer(count)):
                    break
                writer.write(data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def run(answer: Answering, **given: Any) -> Outcome:
    async with serving(answer) as url:
        return await follow(Plan(url, (TARGET,), **({"seconds": 0.4, "warm_seconds": 0.1} | given)))


async def right(number: int) -> bytes:
    return WHOLE


async def test_an_open_loop_asks_at_its_rate() -> None:
    outcome = await run(right, rate=500, connections=4)
    assert (outcome.requests, outcome.failed, outcome.is_open_loop) == (200, 0, True)
    assert outcome.latency.count == outcome.first_byte.count == outcome.lag.count == 200


async def test_what_a_process_uses_is_told_for_the_span_that_is_measured() -> None:
    outcome = await run(right, rate=200, connections=4, watched={"us": os.getpid(), "nobody": 1 << 30})
    assert 0.39 <= outcome.used["us"].seconds < outcome.seconds + 1
    assert outcome.used["us"].cpu_seconds >= 0
    assert outcome.used["us"].resident_bytes > 1 << 20
    assert outcome.used["nobody"].resident_bytes == 0
    assert set(outcome.used) == {"us", "nobody"}
    assert 0 <= outcome.waited < 1.1


async def test_a_stall_is_charged_to_every_request_that_was_due_in_it() -> None:
    """With one connection a client that waits would have seen one slow request of all."""

    async def stall(number: int) -> bytes:
        if number == 20:
            await asyncio.sleep(0.3)
        return WHOLE

    outcome = await run(stall, rate=200, connections=1, warm_seconds=0, seconds=0.5)
    assert (outcome.requests, outcome.failed) == (100, 0)
    # 60 were due while it stalled: a median of them had waited half of the stall.
    assert outcome.latency.percentile_ms(70) > 150
    assert outcome.latency.max_ms > 290


async def test_what_finds_no_room_to_wait_has_failed_as_not_sent() -> None:
    async def never(number: int) -> bytes:
        await asyncio.sleep(60)
        return WHOLE

    outcome = await run(
        never, rate=100, connections=1, waiting_max=5, warm_seconds=0, seconds=0.3, timeout_seconds=0.5
    )
    assert outcome.errors == {"not sent": 24, "timeout": 6}
    assert (outcome.requests, outcome.success) == (0, 0.0)


async def test_a_closed_loop_asks_when_it_has_its_answer() -> None:
    async def slow(number: int) -> bytes:
        await asyncio.sleep(0.05)
        return WHOLE

    outcome = await run(slow, connections=2, warm_seconds=0, seconds=0.5)
    assert 2 <= outcome.requests <= 20
    assert outcome.latency.min_ms >= 49
    assert not outcome.is_open_loop


async def test_users_think_before_they_ask_again() -> None:
    outcome = await run(right, connections=10, think_seconds=0.2, warm_seconds=0, seconds=0.5)
    assert 10 <= outcome.requests <= 10 * (1 + 5)


async def test_a_fresh_plan_opens_a_connection_for_each_request() -> None:
    outcome = await run(right, rate=100, connections=8, is_fresh=True, warm_seconds=0)
    assert (outcome.requests, outcome.failed, outcome.connections_opened) == (40, 0, 40)


async def test_what_still_waits_at_the_end_is_asked_and_counted() -> None:
    async def slow(number: int) -> bytes:
        await asyncio.sleep(0.1)
        return WHOLE

    plan = {"rate": 50, "connections": 1, "warm_seconds": 0, "seconds": 0.2}
    for is_fresh in (False, True):
        outcome = await run(slow, is_fresh=is_fresh, **plan)
        assert (outcome.requests, outcome.failed) == (10, 0)
        assert outcome.completed < 10


async def test_every_kind_of_trouble_is_counted_by_its_name_and_the_run_goes_on() -> None:
    async def troubled(number: int) -> bytes:
        wrong = WHOLE[:-1] + bytes([WHOLE[-1] ^ 1])
        kinds = [WHOLE, b"", wrong, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
        return kinds[number % 4]

    outcome = await run(troubled, rate=100, connections=4, warm_seconds=0, seconds=0.4)
    assert outcome.errors == {"closed before an answer": 10, "wrong bytes": 10, "status 500": 10}
    assert (outcome.requests, outcome.failed, outcome.wrong) == (10, 30, 10)


async def test_who_is_not_there_makes_requests_fail_and_no_run() -> None:
    async with serving(right) as url:
        pass
    plan = Plan(url, (TARGET,), rate=50, connections=2, warm_seconds=0, seconds=0.3, timeout_seconds=0.3)
    outcome = await follow(plan)
    assert (outcome.requests, outcome.failed) == (0, 15)
    assert set(outcome.errors) <= {"no connection: ConnectionRefusedError", "timeout"}


async def test_answers_that_bodies_does_not_know_are_told_as_unchecked() -> None:
    async with serving(right) as url:
        outcome = await follow(Plan(url, ("/other",), rate=50, warm_seconds=0, seconds=0.2))
    assert (outcome.requests, outcome.unchecked) == (10, 10)


@pytest.mark.parametrize("count", [1, 3])
async def test_targets_come_in_turn(count: int) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            seen.append(head.split()[1])
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        names = [f"/{number}" for number in range(count)]
        await follow(Plan(url, names, rate=100, connections=1, warm_seconds=0, seconds=0.1))
    assert seen == [f"/{number % count}".encode() for number in range(10)]


async def test_a_distance_is_added_to_each_answer_and_told_apart_from_it() -> None:
    outcome = await run(right, connections=20, rtt_seconds=(0.1, 0.2), warm_seconds=0, seconds=0.5)
    assert outcome.latency.min_ms >= 100
    assert outcome.first_byte.min_ms >= 100
    assert outcome.latency.count == outcome.beyond.count == outcome.requests >= 20
    # What is left is what the server took: not its rate, but where it begins, is known on a busy machine.
    assert outcome.beyond.min_ms < 100
    assert outcome.beyond.mean_ms == pytest.approx(outcome.latency.mean_ms - 150, abs=50)


async def test_who_gives_up_over_a_distance_is_counted_once() -> None:
    async def never(number: int) -> bytes:
        await asyncio.sleep(60)
        return WHOLE

    outcome = await run(
        never, connections=3, rtt_seconds=(0.2, 0.2), timeout_seconds=0.1, warm_seconds=0, seconds=0.15
    )
    assert outcome.errors == {"timeout": outcome.failed}
    assert outcome.failed in range(3, 7)


async def test_connections_come_from_as_many_addresses_as_wanted() -> None:
    seen: set[str] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.add(writer.get_extra_info("peername")[0])
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(WHOLE)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        plan = Plan(url, (TARGET,), rate=50, connections=6, client_addresses=3, warm_seconds=0, seconds=0.2)
        outcome = await follow(plan)
    assert (len(seen), outcome.requests) == (3, 10)
