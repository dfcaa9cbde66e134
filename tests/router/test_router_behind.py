from __future__ import annotations

import asyncio

import pytest

from edgeproxy.errors import RequestError
from edgeproxy.message import BytesBody, Headers, HeadOnly, Request, Response
from edgeproxy.router.behind import Behind
from edgeproxy.router.file_facts import NOTHING, FileFacts, KnownFiles
from edgeproxy.tasks import Tasks

RANGE = Headers((("Range", "bytes=0-1"), ("Accept", "*/*"), ("Authorization", "x")))


class Reused:
    """A Reuse of which nothing is used."""


class Inner:
    def __init__(self, response: Response | RequestError) -> None:
        self.response = response
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if isinstance(self.response, RequestError):
            raise self.response
        return self.response


def behind(inner: Inner) -> tuple[Behind, KnownFiles]:
    known = KnownFiles(8, 60.0, lambda: 0.0)
    return Behind(inner, known, Tasks(lambda name, error: None), small_bytes=100), known


@pytest.mark.parametrize(("size", "is_repeated"), [(99, True), (100, False), (None, False)])
def test_only_a_small_answer_may_be_repeated_to_anybody(size: int | None, is_repeated: bool) -> None:
    inner = Inner(Response(200, body=HeadOnly(size), reuse=Reused()))  # type: ignore[arg-type]
    one, known = behind(inner)
    response = asyncio.run(one.answer(Request("GET", "/f")))
    assert (response.reuse is not None) is is_repeated
    assert known.get("/f") == FileFacts(-1 if size is None else size)


def test_what_one_client_got_teaches_nothing() -> None:
    one, known = behind(Inner(Response(200, body=BytesBody(b"ab"))))
    asyncio.run(one.answer(Request("GET", "/f", RANGE)))
    asyncio.run(one.answer(Request("POST", "/f")))
    assert len(known) == 0


def test_head_is_asked_without_what_is_about_one_client() -> None:
    inner = Inner(Response(200, body=HeadOnly(500)))
    one, known = behind(inner)
    assert asyncio.run(one.learn(Request("GET", "/f", RANGE))) == FileFacts(500)
    (asked,) = inner.requests
    assert (asked.method, asked.headers) == ("HEAD", Headers((("Accept", "*/*"),)))
    assert known.get("/f") == FileFacts(500)
    asyncio.run(one.asked(Request("GET", "/f", RANGE), keep=("Authorization",)))
    assert "Authorization" in inner.requests[1].headers


def test_a_request_that_is_wrong_in_itself_teaches_nothing() -> None:
    one, known = behind(Inner(RequestError(400, "no")))
    assert asyncio.run(one.learn(Request("GET", "/f"))) is NOTHING
    assert len(known) == 0
