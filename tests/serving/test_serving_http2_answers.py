"""The answering half of a connection of HTTP/2, on real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from serving_stand import Parts, Serve, answering, until
from stands.http2_client import (
    DATA,
    END_STREAM,
    HEADERS,
    INTERNAL,
    NO_ERROR,
    PRIORITY_UPDATE,
    asking,
    data,
    frame,
    headers,
    reset,
    settings,
    window,
)

from edgeproxy.config import Limits, Log
from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import BytesBody, FileSlice, Headers, HeadOnly, Request, Response

GET = asking("/a")
WIDE = [(4, 1 << 30)]


async def test_framing_follows_length_and_method(serve: Serve) -> None:
    known = Parts(b"ab", memoryview(b"cd"), length=4)
    served = await serve(answering(known))
    answer = await (await served.http2()).ask(1, GET)
    assert (answer.body, answer.get("content-length"), answer.order) == (b"abcd", "4", [2, 2])
    assert answer.get("date")
    assert known.closed == 1
    unknown = Parts(b"ab", b"", b"c" * 300_000)
    served = await serve(answering(unknown))
    answer = await (await served.http2()).ask(1, GET)
    assert answer.body == b"ab" + b"c" * 300_000
    assert answer.get("content-length") == ""
    assert unknown.closed == 1


async def test_head_announces_the_length_and_sends_nothing(serve: Serve) -> None:
    for body in (HeadOnly(7), BytesBody(b"1234567"), Parts(b"1234567", length=7)):
        served = await serve(answering(body))
        client = await served.http2()
        answer = await client.ask(1, asking("/", method="HEAD"))
        assert (answer.get("content-length"), answer.order, answer.ended) == ("7", [], True)
        assert next(f for f in client.frames if f.kind == HEADERS).flags & END_STREAM


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_content_ends_with_its_head(serve: Serve, status: int) -> None:
    async def handler(request: Request) -> Response:
        return Response(status, Headers([("ETag", '"1"')]))

    served = await serve(handler)
    answer = await (await served.http2()).ask(1, GET)
    assert (answer.status, answer.fields[0], answer.order) == (status, ("etag", '"1"'), [])
    assert answer.get("content-length") == ""


@pytest.mark.parametrize("length", [100, None])
@pytest.mark.parametrize("trouble", [BodyAborted("cut"), OSError(5, "disk"), RuntimeError("bug")])
async def test_a_body_that_breaks_off_resets_its_stream_alone(
    serve: Serve, length: int | None, trouble: Exception
) -> None:
    body = Parts(b"some", trouble, length=length)

    async def handler(request: Request) -> Response:
        return Response(200, body=body if request.target == "/a" else BytesBody(b"fine"))

    served = await serve(handler)
    client = await served.http2()
    answer = await client.ask(1, GET)
    assert (answer.ended, answer.reset, answer.body) == (False, INTERNAL, b"some")
    assert body.closed == 1
    assert (await client.ask(3, asking("/b"))).body == b"fine"


@pytest.mark.parametrize("parts", [(b"abc",), (b"abcde", b"f")])
async def test_a_body_of_another_length_than_announced_is_not_whole(
    serve: Serve, parts: tuple[bytes, ...]
) -> None:
    served = await serve(answering(Parts(*parts, length=4)))
    answer = await (await served.http2()).ask(1, GET)
    assert (answer.ended, answer.reset) == (False, INTERNAL)


async def test_a_file_that_shrank_resets_the_stream(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"x" * 1000)
    with path.open("rb") as file:
        served = await serve(answering(Parts(FileSlice(file, 0, 2000), length=2000)))
        answer = await (await served.http2()).ask(1, GET)
    assert (answer.ended, answer.reset) == (False, INTERNAL)
    assert len(answer.body) <= 1000


async def test_a_failing_handler_is_one_line_of_500_and_the_connection_goes_on(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        if request.target == "/a":
            raise KeyError("secret")
        if request.target == "/b":
            raise RequestError(403, "not you")
        return Response(200, Headers([("X", "a\r\nY: b")]))

    served = await serve(handler)
    client = await served.http2()
    answers = [await client.ask(stream, asking(path)) for stream, path in ((1, "/a"), (3, "/b"), (5, "/c"))]
    assert [answer.status for answer in answers] == [500, 403, 500]
    assert b"secret" not in answers[0].body
    assert answers[1].body == b"not you\n"
    assert answers[2].get("y") == ""
    assert served.metrics.value("task_errors_total") == 1
    assert client.goaways == []


async def test_interim_responses_come_before_the_answer_and_never_after(serve: Serve) -> None:
    tell: Any = None

    async def handler(request: Request) -> Response:
        nonlocal tell
        if tell is None:
            tell = request.interim
        tell(103, Headers([("Link", "</s>")]))
        return Response(200, body=BytesBody(b"x"))

    served = await serve(handler)
    client = await served.http2()
    first, second = await client.ask(1, GET), await client.ask(3, GET)
    assert (first.interim, second.interim) == ([103], [])
    assert (first.status, second.status) == (200, 200)


async def test_trailers_of_a_body_end_the_stream(serve: Serve) -> None:
    class Trailed(Parts):
        trailers = Headers([("grpc-status", "0")])

    served = await serve(answering(Trailed(b"abc")))
    answer = await (await served.http2()).ask(1, GET)
    assert (answer.body, answer.trailers, answer.ended) == (b"abc", [("grpc-status", "0")], True)


async def test_an_early_answer_tells_the_client_to_stop_sending(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"no")))
    client = await served.http2()
    client.send(headers(1, asking("/p", method="POST"), ended=False), data(1, b"x" * 10))
    await client.until(lambda c: 1 in c.answers and c.answers[1].reset is not None)
    answer = client.answers[1]
    assert (answer.body, answer.ended, answer.reset) == (b"no", True, NO_ERROR)
    client.send(data(1, b"x" * 10), data(1, b"y", ended=True))  # on its way meanwhile
    assert (await client.ask(3, GET)).status == 200


async def test_a_reset_stream_stops_its_body(serve: Serve) -> None:
    forever = asyncio.Event()
    body = Parts(b"a", forever, b"b")
    served = await serve(answering(body))
    client = await served.http2()
    client.send(headers(1, GET))
    await client.until(lambda c: 1 in c.answers and c.answers[1].body)
    client.send(reset(1))
    await until(lambda: body.closed == 1 and not len(served.tasks))
    assert served.metrics.value("client_aborts_total") == 1
    assert served.reports == []


async def test_bodies_wait_for_windows_and_for_the_reader(serve: Serve) -> None:
    taken = 0

    class Counted(Parts):
        async def parts(self) -> Any:
            nonlocal taken
            for _ in range(100):
                taken += 1
                yield b"x" * 100_000

    served = await serve(answering(Counted()))
    client = await served.http2(generous=False)
    client.send(headers(1, GET))
    await client.until(lambda c: 1 in c.answers and len(c.answers[1].body) == 65535)
    await client.ponged()
    assert taken == 1
    client.send(window(1, 1 << 30), window(0, 1 << 30))
    assert len((await client.answer(1)).body) == 10_000_000
    idle = await served.http2(generous=False, values=WIDE, limit=1)
    taken = 0
    idle.send(window(0, 1 << 30), headers(1, GET))
    await until(lambda: taken > 1)
    before = -1
    while before != taken:
        before = taken
        await asyncio.sleep(0.1)
    assert taken < 100, "what the kernel does not take is not read either"


async def test_many_streams_share_a_connection_fairly(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"x" * 500_000)))
    client = await served.http2(values=WIDE)
    client.send(window(0, 1 << 30), *(headers(stream, GET) for stream in range(1, 201, 2)))
    for stream in range(1, 201, 2):
        assert len((await client.answer(stream)).body) == 500_000
    content = [f for f in client.frames if f.kind == DATA]
    first_end = next(place for place, f in enumerate(content) if f.flags & END_STREAM)
    assert len({f.stream for f in content[:first_end]}) == 100


@pytest.mark.parametrize("by_frame", [False, True])
async def test_priorities_decide_what_comes_first(serve: Serve, by_frame: bool) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        await gate.wait()
        return Response(200, body=BytesBody(b"x" * 300_000))

    served = await serve(handler)
    client = await served.http2(values=WIDE, generous=False)
    told = {1: "u=7", 3: "u=3, i", 5: "u=0", 7: "u=0"}
    for stream, text in told.items():
        if by_frame:
            update = frame(PRIORITY_UPDATE, 0, 0, stream.to_bytes(4, "big") + text.encode())
            client.send(*((update, headers(stream, GET)) if stream < 5 else (headers(stream, GET), update)))
        else:
            client.send(headers(stream, [*GET, ("priority", text)]))
    await client.ponged()
    gate.set()
    await client.until(lambda c: sum(len(a.body) for a in c.answers.values()) == 65535)
    await client.ponged()
    client.send(window(0, 1 << 30))
    for stream in told:
        await client.answer(stream)
    ends = [f.stream for f in client.frames if f.kind == 0 and f.flags & END_STREAM]
    assert ends == [5, 7, 3, 1]


async def test_large_frames_where_the_client_takes_them(serve: Serve) -> None:
    served = await serve(
        answering(BytesBody(b"x" * 1_000_000)), limits=Limits(write_buffer=2 << 20, drain_timeout=0.2)
    )
    client = await served.http2(values=[*WIDE, (5, 1 << 20)])
    client.send(window(0, 1 << 30))
    assert max((await client.ask(1, GET)).order) == 1_000_000


async def test_a_head_larger_than_a_frame_continues(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, Headers([("X-Big", "v" * 40_000)]), BytesBody(b"x"))

    served = await serve(handler)
    answer = await (await served.http2()).ask(1, GET)
    assert (answer.get("x-big"), answer.body) == ("v" * 40_000, b"x")


async def test_exchanges_are_counted_and_logged_with_their_version(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    served = await serve(answering(BytesBody(b"abc")), log=Log(access="combined", access_file=str(file)))
    client = await served.http2()
    await client.ask(1, GET)
    await client.ask(3, asking("/b", authority="a b"))
    await until(lambda: served.metrics.value("requests_total", "", "local", "200") == 1)
    assert served.metrics.value("bad_requests_total", "400") == 1
    assert served.log is not None
    served.log.close()
    lines = file.read_text().splitlines()
    assert '"GET /a HTTP/2" 200 3 ' in lines[0]
    assert '" 400 0 ' in lines[1]


async def test_settings_change_windows_of_open_streams(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"x" * 1000)))
    client = await served.http2(generous=False, values=[(4, 100)])
    client.send(headers(1, GET))
    await client.until(lambda c: 1 in c.answers and len(c.answers[1].body) == 100)
    client.send(settings((4, 50)), window(1, 40))  # now at -10
    await client.ponged()
    assert len(client.answers[1].body) == 100
    client.send(settings((4, 2000)))
    assert (await client.answer(1)).ended
