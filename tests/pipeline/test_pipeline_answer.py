"""Answers: ranges and conditionals on what is stored and on what arrives."""

from __future__ import annotations

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.errors import ProxyError, UpstreamError

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-4", 206, b"hello", "bytes 0-4/11"),
        ("bytes=-5", 206, b"world", "bytes 6-10/11"),
        ("bytes=6-", 206, b"world", "bytes 6-10/11"),
        ("bytes=11-", 416, b"", "bytes */11"),
        ("bytes=4-2", 200, b"hello world", ""),
        ("lines=1-2", 200, b"hello world", ""),
    ],
)
async def test_ranges_are_cut_from_what_is_stored_and_from_what_arrives(
    house: House, asked: str, status: int, body: bytes, content_range: str
) -> None:
    house.upstream.answers("/a", Scripted())
    for _ in ("cold", "warm"):
        response = await house.ask("/a", Range=asked)
        assert response.status == status
        assert response.headers.get("Content-Range") == content_range
        assert await content(response) == body


async def test_several_ranges_are_one_multipart_body(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    await house.get("/a")
    response = await house.ask("/a", Range="bytes=0-1,8-10")
    assert response.status == 206
    kind, _, boundary = response.headers.get("Content-Type").partition("; boundary=")
    assert kind == "multipart/byteranges"
    body = await content(response)
    assert response.body.length == len(body)
    assert body.count(b"--" + boundary.encode()) == 3
    assert b"Content-Range: bytes 0-1/11\r\n\r\nhe\r\n" in body
    assert b"Content-Range: bytes 8-10/11\r\n\r\nrld\r\n" in body


async def test_a_hit_from_ram_may_be_repeated_and_is_the_same_as_asked_again(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=60"), ("ETag", '"v1"'))))
    await house.get("/a")
    reuse = (await house.ask("/a")).reuse
    assert reuse is not None
    assert (reuse.data, reuse.held.sequence, reuse.held.fresh_until) == (b"hello world", 0, house.now + 60)
    house.now += 7
    again = await house.ask("/a")
    assert reuse.fields(house.now) == again.headers
    assert again.headers.get("Age") == "7"


@pytest.mark.parametrize("fields", [{"Range": "bytes=0-1"}, {"If-None-Match": '"v1"'}])
async def test_what_one_client_asks_for_is_not_repeated_for_others(
    house: House, fields: dict[str, str]
) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=60"), ("ETag", '"v1"'))))
    await house.get("/a")
    assert (await house.ask("/a", **fields)).reuse is None
