"""The plain server as others see it: the standard library, raw frames, grpcio; and as the generator does."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator
from typing import Any

import pytest
from stands.http2_client import Http2Client, asking

from benchmarks import bodies, records
from benchmarks.generator import Plan
from benchmarks.generator.engine import follow
from benchmarks.plain_server import Plain

TARGET = bodies.path(100_000, "a")
RECORD = records.path(3, "numpy")


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.get_running_loop().create_server(Plain, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


async def test_http_1_gets_known_bytes_on_one_connection(address: tuple[str, int]) -> None:
    def ask() -> list[tuple[int, bytes]]:
        connection = http.client.HTTPConnection(*address, timeout=10)
        answers = []
        for target in (TARGET, RECORD, "/other"):
            connection.request("GET", target)
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
        connection.close()
        return answers

    first, second, third = await asyncio.to_thread(ask)
    assert first[0] == 200
    assert bodies.matches(TARGET, 0, first[1])
    assert second == (200, records.as_json(RECORD))
    assert third == (404, b"")


async def test_http_2_gets_the_same_within_the_windows_it_gives(address: tuple[str, int]) -> None:
    client = await Http2Client.connect(address)
    answer = await client.ask(1, asking(TARGET))
    assert (answer.status, len(answer.body)) == (200, 100_000)
    assert bodies.matches(TARGET, 0, bytes(answer.body))
    assert (await client.ask(3, asking(RECORD))).body == records.as_json(RECORD)
    assert (await client.ask(5, asking("/other"))).status == 404
    client.close()


async def test_a_call_of_another_implementation_gets_its_record(address: tuple[str, int]) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is in the extra bench")

    def ask() -> bytes:
        with grpc.insecure_channel(f"{address[0]}:{address[1]}") as channel:
            answer: bytes = channel.unary_unary(records.METHOD)(records.request_message(RECORD), timeout=10)
            with pytest.raises(grpc.RpcError) as told:
                channel.unary_unary("/edgeproxy.bench.Records/Put")(b"", timeout=10)
            assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            return answer

    assert await asyncio.to_thread(ask) == records.as_message(RECORD)


@pytest.mark.parametrize(
    ("target", "given"),
    [
        (TARGET, {"protocol": "http/1.1"}),
        (RECORD, {"protocol": "http/1.1", "is_fresh": True}),
        (TARGET, {"protocol": "h2", "streams": 4}),
        (RECORD, {"protocol": "h2", "is_fresh": True}),
        (bodies.path(3_000_000, "large"), {"protocol": "h2"}),
        (RECORD, {"protocol": "grpc", "streams": 3}),
    ],
)
async def test_the_generator_finds_every_answer_right(
    address: tuple[str, int], target: str, given: dict[str, Any]
) -> None:
    plan = Plan(
        f"http://{address[0]}:{address[1]}",
        (target,),
        rate=50,
        connections=4,
        seconds=0.2,
        warm_seconds=0,
        **given,
    )
    outcome = await follow(plan)
    assert (outcome.requests, outcome.errors, outcome.unchecked) == (10, {}, 0)
