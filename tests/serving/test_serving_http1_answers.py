"""The answering half of a connection of HTTP/1, on real sockets."""

from typing import Any

import pytest
from serving_stand import Parts, Serve, answering

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import BytesBody, Headers, HeadOnly, Request, Response

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_an_early_answer_drops_little_unread_content_and_closes_on_much(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"no")))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    assert (await served.say(head % 10 + b"0123456789" + LAST)).count(b"HTTP/1.1 200") == 2
    large = await served.say(head % (1 << 20) + b"a" * 10)
    assert b"Connection: close" in large
    unsent = await served.say(head.replace(b"Content", b"Expect: 100-continue\r\nContent") % 10)
    assert b"Connection: close" in unsent
    assert b"100 Continue" not in unsent


async def test_framing_follows_length_method_and_version(serve: Serve) -> None:
    known = Parts(b"ab", memoryview(b"cd"), length=4)
    served = await serve(answering(known))
    answer = await served.say(LAST)
    assert b"Content-Length: 4" in answer
    assert answer.endswith(b"\r\n\r\nabcd")
    assert known.closed == 1
    unknown = Parts(b"ab", b"", b"c" * 300_000)
    served = await serve(answering(unknown))
    answer = await served.say(LAST)
    assert b"Transfer-Encoding: chunked" in answer
    assert answer.endswith(b"2\r\nab\r\n493e0\r\n" + b"c" * 300_000 + b"\r\n0\r\n\r\n")
    answer = await served.say(b"GET / HTTP/1.0\r\n\r\n")
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"\r\n\r\nab" + b"c" * 300_000)
    assert unknown.closed == 2


async def test_head_announces_the_length_and_sends_nothing(serve: Serve) -> None:
    for body in (HeadOnly(7), BytesBody(b"1234567"), Parts(b"1234567", length=7)):
        served = await serve(answering(body))
        answer = await served.say(LAST.replace(b"GET", b"HEAD"))
        assert b"Content-Length: 7\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
@pytest.mark.parametrize("length", [100, None])
@pytest.mark.parametrize("trouble", [BodyAborted("cut"), OSError(5, "disk"), RuntimeError("bug")])
async def test_a_body_that_breaks_off_resets_the_connection(
    serve: Serve, line: bytes, length: int | None, trouble: Exception
) -> None:
    body = Parts(b"some", trouble, length=length)
    served = await serve(answering(body))
    with pytest.raises(ConnectionResetError):
        await served.say(line)
    assert body.closed == 1


async def test_a_failing_handler_is_one_line_of_500_and_the_connection_goes_on(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        if request.target == "/a":
            raise KeyError("secret")
        if request.target == "/b":
            raise RequestError(403, "not you", close=False)
        return Response(200, Headers([("X", "a\r\nY: b")]))

    served = await serve(handler)
    answer = await served.say(GET + GET.replace(b"/a", b"/b") + LAST)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"500", b"403", b"500"]
    assert b"secret" not in answer
    assert b"Y: b" not in answer
    assert "KeyError" in served.reports[0]
    assert served.metrics.value("task_errors_total") == 1


async def test_an_answer_that_asks_for_it_ends_the_connection(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"bye"), close=True))
    answer = await served.say(GET + GET)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize(("version", "told"), [(b"1.1", 1), (b"1.0", 0)])
async def test_interim_responses_come_before_the_answer_and_never_after(
    serve: Serve, version: bytes, told: int
) -> None:
    tell: Any = None

    async def handler(request: Request) -> Response:
        nonlocal tell
        if request.target == "/a":
            tell = request.interim
        if tell is not None:  # for the second request that of the first, which is answered
            tell(103, Headers([("Link", "</s>")]))
        return Response(200, body=BytesBody(b"x"))

    served = await serve(handler)
    first = b"GET /a HTTP/%b\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" % version
    answer = await served.say(first + LAST)
    assert answer.count(b" 103 ") == told
    assert answer.count(b" 200 ") == 2
    assert not told or answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n")
