"""Resuming: a body that breaks off goes on at the byte where it stopped, or fails."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.errors import BodyAborted, ProxyError, UpstreamError
from edgeproxy.sites.site import Expected

CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")
REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
TAGGED = (("Cache-Control", "max-age=60"), ("ETag", '"v1"'))


def cut(fields: tuple[tuple[str, str], ...] = TAGGED) -> Scripted:
    return Scripted(fields=fields, pieces=(b"hello ", CUT), length=11)


def rest(start: int = 6, *, tag: str = '"v1"', size: int = 11) -> Scripted:
    fields = (("Content-Range", f"bytes {start}-10/{size}"), ("ETag", tag))
    return Scripted(206, fields=fields, pieces=(b"hello world"[start:],))


async def test_the_rest_is_asked_for_and_the_client_is_unaware(house: House) -> None:
    house.upstream.answers("/a", cut(), rest())
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    asked = house.upstream.requests[1].headers
    assert (asked.get("Range"), asked.get("If-Range")) == ("bytes=6-", '"v1"')
    assert await house.get("/a") == (200, b"hello world", "hit")


async def test_an_origin_without_ranges_is_read_up_to_where_it_broke(house: House) -> None:
    house.upstream.answers("/a", cut(), Scripted(fields=TAGGED, pieces=(b"hel", b"lo wo", b"rld")))
    assert (await house.get("/a"))[:2] == (200, b"hello world")


async def test_a_known_digest_stands_in_for_a_validator(house: House) -> None:
    digest = hashlib.sha256(b"hello world").hexdigest()
    house.site.shape = lambda plan: replace(plan, expected=Expected(sha256=digest))
    house.upstream.answers("/a", cut((("Cache-Control", "max-age=60"),)), rest(tag=""))
    assert (await house.get("/a"))[:2] == (200, b"hello world")


@pytest.mark.parametrize(
    "second",
    [
        rest(tag='"v2"'),
        rest(tag='W/"v1"'),
        rest(start=7),
        rest(size=12),
        Scripted(fields=(*TAGGED[:1], ("ETag", '"v2"')), pieces=(b"other bytes",)),
        Scripted(fields=TAGGED, pieces=(b"longer than before",)),
        Scripted(416, pieces=()),
        Scripted(503, pieces=()),
    ],
)
async def test_what_is_not_the_same_representation_is_never_joined(house: House, second: Any) -> None:
    house.upstream.answers("/a", cut(), second)
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))
    assert house.store.kept == {}


async def test_without_validator_or_digest_nothing_is_resumed(house: House) -> None:
    house.upstream.answers("/a", cut((("Cache-Control", "max-age=60"),)), rest())
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))
    assert len(house.upstream.requests) == 1


async def test_attempts_that_bring_nothing_are_few(house: House) -> None:
    empty = Scripted(206, fields=rest().fields, pieces=(CUT,), length=5)
    house.upstream.answers("/a", cut(), empty)
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))
    assert len(house.upstream.requests) == 3


async def test_an_origin_that_is_gone_fails_the_body(house: House) -> None:
    house.upstream.answers("/a", cut(), REFUSED)
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))


async def test_a_parent_that_breaks_off_is_left_for_the_next_candidate(house: House) -> None:
    house.upstream.answers(
        "/a",
        replace(cut(), source="up"),
        replace(rest(tag='"v2"'), source="stale"),
        replace(rest(), source="origin"),
    )
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    assert [sorted(one.avoid) for one in house.upstream.requests] == [[], ["up"], ["stale", "up"]]


async def test_garbage_from_a_parent_and_a_head_without_a_byte_are_survived(house: House) -> None:
    garbage = UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, "garbage")
    for number, first in enumerate(
        (
            Scripted(fields=TAGGED, pieces=(b"hello ", garbage), length=11, source="up"),
            Scripted(fields=TAGGED, pieces=(CUT,), length=11, source="up"),
        )
    ):
        house.upstream.answers(f"/{number}", first, rest(6 if number == 0 else 0))
        assert (await house.get(f"/{number}"))[:2] == (200, b"hello world")


async def test_garbage_from_an_origin_ends_it(house: House) -> None:
    garbage = UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, "garbage")
    house.upstream.answers("/a", Scripted(fields=TAGGED, pieces=(b"hello ", garbage), length=11), rest())
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))
