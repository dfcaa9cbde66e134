"""A server's Handler is the filler's, as if both were one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from relay_stand import Body, Content, Stand, listening_at, read, stand, until

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import (
    BytesBody,
    CacheOutcome,
    Certified,
    FileSlice,
    ForwardReason,
    Headers,
    HeadOnly,
    Outcome,
    Request,
    Response,
)
from edgeproxy.relay.handler import Channels, Relay

Relayed = Callable[..., Stand]
REQUEST = Request(
    "GET", "/a?b=\xe9", Headers((("A", "\xff"), ("A", "2"))), "https", "h:1", "1.0", "1.2.3.4", "::1",
    listener="l", id="i", traceparent="t", received_at=12.5,
    certified=Certified(("a",), "CN=a", "00"), target_scheme="https",
)  # fmt: skip
OUTCOME = Outcome(CacheOutcome.MISS, "files", ForwardReason.STALE, 200, True, True, 3.5, "why", 0.25)


async def test_all_of_a_request_arrives_and_all_of_an_answer_comes_back(relayed: Relayed) -> None:
    asked: list[Request] = []

    async def handler(request: Request) -> Response:
        asked.append(request)
        return Response(206, Headers((("B", "c"), ("b", "\xe4"))), BytesBody(b"abc"), OUTCOME, close=True)

    response = await relayed(handler).relay(REQUEST)
    assert asked == [REQUEST]
    assert response == Response(
        206, Headers((("B", "c"), ("b", "\xe4"))), BytesBody(b"abc"), OUTCOME, close=True
    )


@pytest.mark.parametrize("length", [0, 1, 1 << 20, (1 << 20) + 1, 5 << 20])
async def test_content_in_memory_arrives_whole(relayed: Relayed, length: int) -> None:
    data = os.urandom(length)

    async def handler(request: Request) -> Response:
        return Response(200, body=BytesBody(data))

    one = relayed(handler)
    for _ in range(3):
        response = await one.get()
        assert response.body.length == length
        assert await read(response) == data


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("HEAD", HeadOnly(7), 7),
        ("HEAD", HeadOnly(None), None),
        ("GET", HeadOnly(3), 3),
        ("HEAD", Body([b"x"], 1), 1),
    ],
)
async def test_content_that_is_only_announced_is_never_walked(
    relayed: Relayed, method: str, body: Any, length: int | None
) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=body)

    response = await relayed(handler).relay(Request(method, "/"))
    assert response.body == HeadOnly(length)
    if isinstance(body, Body):
        assert (body.walked, body.closed) == (0, 1)


async def test_slices_of_files_are_read_from_the_same_files(relayed: Relayed, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").write_bytes(b"abcdefghij")
    with open(tmp_path / "a", "rb") as a, open(tmp_path / "b", "rb") as b:  # noqa: ASYNC230
        body = Body([FileSlice(a, 2, 3), b"--", FileSlice(b, 0, 1), FileSlice(a, 0, 2), b""], 8)

        async def handler(request: Request) -> Response:
            return Response(200, body=body)

        one = relayed(handler)
        before = len(os.listdir("/proc/self/fd"))
        response = await one.get()
        assert response.body.length == 8
        assert await read(response) == b"234--a01"
        await until(lambda: body.closed == 1)
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # the channel stays, the files do not


async def test_the_filler_is_never_ahead_of_who_takes_the_parts(relayed: Relayed, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    with open(tmp_path / "a", "rb") as file:  # noqa: ASYNC230
        sliced = Body([FileSlice(file, n, 1) for n in range(20)], 20)
        pieces = Body([bytes([n]) for n in range(20)], None)

        async def handler(request: Request) -> Response:
            return Response(200, body=sliced if request.target == "/sliced" else pieces)

        one = relayed(handler)
        for target, body, ahead in (("/sliced", sliced, 0), ("/pieces", pieces, 4)):
            response = await one.get(target)
            parts = response.body.parts()
            for taken in range(1, 8):
                await anext(parts)  # type: ignore[arg-type]
                await asyncio.sleep(0.01)
                assert body.walked <= taken + ahead
            assert body.closed == 0
            await response.body.aclose()  # the client leaves
            await until(lambda body=body: body.closed == 1)


async def test_content_that_breaks_off_never_looks_whole(relayed: Relayed) -> None:
    broken = Body([b"abc"], None, BodyAborted("the upstream left"))
    failing = Body([b"abc"], 3, ValueError("a bug"))

    async def handler(request: Request) -> Response:
        return Response(200, body=broken if request.target == "/" else failing)

    one = relayed(handler)
    with pytest.raises(BodyAborted, match="the upstream left"):
        await read(await one.get("/"))
    with pytest.raises(BodyAborted, match="internal error"):
        await read(await one.get("/bug"))
    await until(lambda: broken.closed == failing.closed == 1)
    assert one.metrics.value("task_errors_total") == 1
    assert "a bug" in one.reports.pop()


async def test_a_filler_that_dies_within_content_breaks_it_off(relayed: Relayed) -> None:
    body = Body([b"abc"] * 10, 30)

    async def handler(request: Request) -> Response:
        return Response(200, body=body)

    one = relayed(handler)
    response = await one.get()
    parts = response.body.parts()
    assert await anext(parts) == b"abc"  # type: ignore[arg-type]
    await one.listener.drain(0.0)
    with pytest.raises(BodyAborted):
        async for _ in parts:
            pass
    await response.body.aclose()


async def test_refusals_and_failures_are_those_of_the_handler(relayed: Relayed) -> None:
    async def handler(request: Request) -> Response:
        if request.target == "/bug":
            raise ValueError("a bug")
        raise RequestError(414, "too long", close=False)

    one = relayed(handler)
    with pytest.raises(RequestError, match="too long") as refused:
        await one.get()
    assert (refused.value.status, refused.value.close) == (414, False)
    assert (await one.get("/bug")).status == 500
    assert "a bug" in one.reports.pop()


async def test_request_content_is_read_when_it_is_wanted_and_no_faster(relayed: Relayed) -> None:
    reading, content = asyncio.Event(), Content([b"piece %d;" % n for n in range(50)])

    async def handler(request: Request) -> Response:
        assert request.body is not None
        await reading.wait()
        pieces = request.body.__aiter__()
        data = await anext(pieces)  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        assert content.read <= 6
        return Response(200, body=BytesBody(data + b"".join([piece async for piece in pieces])))

    one = relayed(handler)
    asking = one.tasks.start(one.relay(Request("POST", "/", body=content)), "ask")
    await asyncio.sleep(0.02)
    assert content.read == 0  # nor is 100-continue said
    reading.set()
    response = await asking
    assert response.body == BytesBody(b"".join(content.pieces))
    assert len(one.relay.channels._idle) == 1  # the channel is free again


async def test_large_pieces_of_request_content_arrive_whole(relayed: Relayed) -> None:
    data = os.urandom(3_000_000)

    async def handler(request: Request) -> Response:
        assert request.body is not None
        return Response(200, body=BytesBody(b"".join([piece async for piece in request.body])))

    response = await relayed(handler).relay(Request("PUT", "/", body=Content([data])))
    assert await read(response) == data


@pytest.mark.parametrize(
    ("error", "status"), [(BodyAborted("the client left"), 0), (RequestError(413, "too much"), 413)]
)
async def test_request_content_that_breaks_off_breaks_off_there(
    relayed: Relayed, error: Exception, status: int
) -> None:
    seen: list[Exception] = []

    async def handler(request: Request) -> Response:
        assert request.body is not None
        try:
            async for _ in request.body:
                pass
        except (BodyAborted, RequestError) as caught:
            seen.append(caught)
            raise RequestError(status or 400, "broken off") from None
        return Response(200)

    with pytest.raises(RequestError, match="broken off"):
        await relayed(handler).relay(Request("POST", "/", body=Content([b"a"], error)))
    assert [type(caught) for caught in seen] == [type(error)]
    assert str(seen[0]) == str(error)


async def test_an_answer_before_the_content_was_read_does_not_spoil_the_next(relayed: Relayed) -> None:
    async def handler(request: Request) -> Response:
        return Response(403 if request.body is not None else 200)

    one = relayed(handler)
    for _ in range(3):
        assert (await one.relay(Request("POST", "/", body=Content([b"abc"] * 9)))).status == 403
        assert (await one.get()).status == 200


async def test_interim_responses_come_before_the_answer_and_not_after(relayed: Relayed) -> None:
    told: list[tuple[int, Headers]] = []
    kept: list[Any] = []

    async def handler(request: Request) -> Response:
        assert request.interim is not None
        request.interim(103, Headers((("Link", "<x>"),)))
        kept.append(request.interim)
        return Response(200)

    one = relayed(handler)
    await one.get(interim=lambda status, headers: told.append((status, headers)))
    kept[0](102, Headers())
    await one.get(interim=lambda status, headers: told.append((status, headers)))
    assert told == [(103, Headers((("Link", "<x>"),)))] * 2


async def test_a_client_that_leaves_cancels_what_the_handler_does(relayed: Relayed) -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response(200)

    one = relayed(handler)
    asking = one.tasks.start(one.get(), "ask")
    await until(lambda: len(one.tasks) == 2)
    asking.cancel()
    await asyncio.wait_for(cancelled.wait(), 30)


async def test_channels_are_used_again_and_many_exchanges_run_side_by_side(relayed: Relayed) -> None:
    release = asyncio.Event()

    async def handler(request: Request) -> Response:
        await release.wait()
        return Response(200, body=BytesBody(request.target.encode()))

    one = relayed(handler)
    asking = [one.tasks.start(one.get(f"/{n}"), "ask") for n in range(50)]
    await asyncio.sleep(0.05)
    release.set()
    answers = [await each for each in asking]
    assert [await read(answer) for answer in answers] == [b"/%d" % n for n in range(50)]
    idle = len(one.relay.channels._idle)
    for _ in range(20):
        await one.get()
    assert len(one.relay.channels._idle) == idle == 50


async def test_without_a_filler_a_request_waits_and_then_says_when_to_come_again(
    tmp_path: Path, relayed: Relayed
) -> None:
    one = relayed(_ok)
    nobody = listening_at(str(tmp_path / "nobody"))  # accepts in its queue, and never says a word
    for path in ("absent", "nobody"):
        response = await Relay(Channels(str(tmp_path / path), 0.1), one.tasks, None)(Request("GET", "/"))
        assert (response.status, response.headers.get("Retry-After")) == (503, "1")
    nobody.close()


async def _ok(request: Request) -> Response:
    return Response(200)


async def test_a_filler_that_dies_before_it_answered_is_asked_again_once_it_is_back(tmp_path: Path) -> None:
    asked: list[str] = []

    async def never(request: Request) -> Response:
        asked.append(request.method)
        await asyncio.Event().wait()
        return Response(200)

    first = stand(tmp_path, never)
    getting = first.tasks.start(first.get(), "ask")
    posting = first.tasks.start(first.relay(Request("POST", "/", body=Content([b"x"]))), "ask")
    await until(lambda: len(asked) == 2)
    (tmp_path / "filler").unlink()
    await first.listener.drain(0.0)
    second = stand(tmp_path, _ok)
    assert (await getting).status == 200
    with pytest.raises(RequestError) as refused:  # whether it was done cannot be known
        await posting
    assert refused.value.status == 502
    await first.aclose()
    await second.aclose()
