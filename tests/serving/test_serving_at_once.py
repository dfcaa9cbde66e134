"""A handler that may answer at once: without a task, and again without being asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from serving_stand import Serve

from edgeproxy.message import BytesBody, Headers, HeadOnly, Request, Response

GET = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Prompt:
    """Answers everything but /later at once; `repeat` is what it says of its answers."""

    def __init__(self, repeat: Callable[[float], bool] | None = None) -> None:
        self.repeat = repeat
        self.at_once_asked: list[str] = []
        self.asked: list[str] = []
        self.body: object = BytesBody(b"now\n")

    def at_once(self, request: Request) -> Response | None:
        self.at_once_asked.append(request.target)
        if request.target == "/later":
            return None
        headers = Headers((("X-Target", request.target),))
        return Response(302, headers, self.body, repeat=self.repeat)  # type: ignore[arg-type]

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request.target)
        return Response(200, body=BytesBody(b"later\n"))


async def test_what_is_there_at_once_is_sent_in_its_order(serve: Serve) -> None:
    handler = Prompt()
    served = await serve(handler)
    answer = await served.say(GET + SLOW + GET + LAST)
    heads = [line for line in answer.split(b"\r\n") if b"HTTP/1.1" in line]
    assert [head.rpartition(b"HTTP/1.1 ")[2][:3] for head in heads] == [b"302", b"200", b"302", b"302"]
    assert answer.count(b"Connection: close") == 1
    assert handler.asked == ["/later"]
    assert served.metrics.value("requests_total", "", "local", "302") == 3


async def test_head_gets_no_content_and_content_of_get_is_dropped(serve: Serve) -> None:
    served = await serve(Prompt())
    with_content = b"GET /now HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    answer = await served.say(GET.replace(b"GET", b"HEAD") + with_content + LAST)
    assert answer.count(b"HTTP/1.1 302") == 3
    assert answer.count(b"now\n") == 2
    assert b"abc" not in answer


async def test_a_body_that_has_to_be_walked_is_left_to_the_handler(serve: Serve) -> None:
    handler = Prompt()
    handler.body = HeadOnly(4)
    served = await serve(handler)
    assert b"later\n" in await served.say(LAST)
    assert handler.asked == ["/z"]


async def test_a_field_that_cannot_be_sent_is_left_to_the_handler(serve: Serve) -> None:
    class Splitting(Prompt):
        def at_once(self, request: Request) -> Response | None:
            return Response(302, Headers((("X", "a\r\nY: b"),)))

    answer = await (await serve(Splitting())).say(LAST)
    assert b"later\n" in answer
    assert b"Y: b" not in answer


async def test_an_answer_may_be_repeated_as_long_as_its_handler_says_so(serve: Serve) -> None:
    left = [2]

    def repeat(now: float) -> bool:
        left[0] -= 1
        return left[0] >= 0

    handler = Prompt(repeat)
    served = await serve(handler)
    reader, writer = await served.connect()
    answers = []
    for _ in range(5):
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        answers.append(head + await reader.readexactly(4))
    assert len({answer.partition(b"Date: ")[0] for answer in answers}) == 1
    assert len(handler.at_once_asked) < 5
    assert served.metrics.value("requests_total", "", "local", "302") == 5
    # Bytes that differ are another request, and one that is to be the last is answered so.
    writer.write(GET.replace(b"/now", b"/won"))
    assert b"X-Target: /won" in await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(4)
    writer.write(LAST)
    assert b"Connection: close" in await reader.read()


async def test_another_handler_begins_anew(serve: Serve) -> None:
    served = await serve(Prompt(lambda now: True))
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(4)
    other = Prompt()
    served.listeners.serve(other)
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    assert other.at_once_asked == ["/now"]


class Held:
    """A stored response that byte-equal requests may have."""

    fresh_until = 4e9
    retired = None
    sequence = 0
    source = None
    file = None

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    @property
    def held(self) -> Held:
        return self

    def fields(self, now: float) -> Headers:
        return Headers((("ETag", '"1"'),))

    def timed(self, now: float, *, is_proven: bool = False) -> None:
        return None

    def used(self) -> None:
        return None


@pytest.mark.parametrize("size", [0, 10, 200_000])
async def test_what_the_request_memo_may_have_it_gets(serve: Serve, size: int) -> None:
    held = Held(b"c" * size)

    class Reusable(Prompt):
        def at_once(self, request: Request) -> Response | None:
            self.at_once_asked.append(request.target)
            return Response(200, held.fields(0.0), BytesBody(held.data), reuse=held)

    handler = Reusable()
    served = await serve(handler)
    reader, writer = await served.connect()
    answers = []
    for head in (GET, GET, GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: 1\r\n\r\n")):
        writer.write(head)
        answers.append((await reader.readuntil(b"\r\n\r\n"), await reader.readexactly(size)))
    assert [content for _, content in answers] == [held.data] * 3
    assert len({head for head, _ in answers}) == 1
    assert len(handler.at_once_asked) == 2, "the second came from the memo"
    assert served.metrics.value("requests_total", "", "local", "200") == 3
    assert served.metrics.value("client_bytes_total", "") == 3 * size
