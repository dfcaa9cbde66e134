"""The first range of something unknown: what is asked, and what the answer tells about the whole."""

from __future__ import annotations

import pytest
from pipeline_house import ORIGIN, House, Scripted

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers, Request
from edgeproxy.pipeline.cold_range import Came, ColdRange, range_of
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Plan

FRESH = ("Cache-Control", "max-age=60")
TAG = ("ETag", '"v1"')


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ((("Range", "bytes=0-9"),), "bytes=0-9"),
        ((("Range", "bytes=5-"),), "bytes=5-"),
        ((("Range", "bytes=-100"),), "bytes=-100"),
        ((("Range", "bytes=0-9, 50-59"),), "bytes=0-9"),
        ((), None),
        ((("Range", "bytes=9-0"),), None),
        ((("Range", "lines=0-9"),), None),
        ((("Range", "bytes=" + ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(17))),), None),
        ((("Range", "bytes=0-9"), ("If-None-Match", '"v1"')), None),
        ((("Range", "bytes=0-9"), ("If-Match", '"v1"')), None),
        ((("Range", "bytes=0-9"), ("If-Modified-Since", "x")), None),
        ((("Range", "bytes=0-9"), ("If-Unmodified-Since", "x")), None),
        ((("Range", "bytes=0-9"), ("If-Range", '"v1"')), "bytes=0-9"),
    ],
)
def test_a_plain_range_or_the_first_of_several_is_sent(
    fields: tuple[tuple[str, str], ...], sent: str | None
) -> None:
    assert range_of(Request("GET", "/big", Headers(fields))) == sent


async def ask(house: House, text: str, answer: Scripted) -> Came:
    house.upstream.answers("/big", answer)
    request = Request("GET", "/big", Headers((("Range", text),)))
    cold = ColdRange(house.parts, Plan(ORIGIN, "/big", Rules()), "one", request)
    return await cold.ask(Headers((("Accept-Encoding", "identity"),)), text)


def part(said: str, *fields: tuple[str, str], length: int | None = -1) -> Scripted:
    return Scripted(206, (("Content-Range", said), *fields), (b"0123456789",), length=length)


async def test_a_part_tells_what_the_whole_is(house: House) -> None:
    came = await ask(house, "bytes=20-29", part("bytes 20-29/5000", FRESH, TAG, ("Content-Length", "10")))
    assert house.upstream.requests[0].headers.get("Range") == "bytes=20-29"
    assert (came.part, came.is_lie) == ((20, 30), False)
    assert came.stored is not None
    assert (came.stored.status, came.stored.body_bytes) == (200, 5000)
    assert came.stored.fresh_until == house.now + 60
    assert came.stored.headers.get("ETag") == '"v1"'
    assert "Content-Range" not in came.stored.headers
    assert "Content-Length" not in came.stored.headers
    assert not came.answer.response.closed, "its content is still to be read"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "answer", "is_lie"),
    [
        ("bytes=20-29", part("bytes 20-29/5000", FRESH, TAG), False),
        ("bytes=20-29", part("bytes 20-29/5000", FRESH, TAG, length=None), False),
        ("bytes=20-", part("bytes 20-29/5000", FRESH, TAG), False),
        ("bytes=-10", part("bytes 4990-4999/5000", FRESH, TAG), False),
        ("bytes=20-29", part("bytes 21-30/5000", FRESH, TAG), True),
        ("bytes=-10", part("bytes 0-9/5000", FRESH, TAG), True),
        ("bytes=20-29", part("bytes 20-29/*", FRESH, TAG), True),
        ("bytes=20-29", part("bytes 20-29/25", FRESH, TAG), True),
        ("bytes=20-29", part("nonsense", FRESH, TAG), True),
        ("bytes=20-29", Scripted(206, (FRESH, TAG)), True),
        ("bytes=20-29", part("bytes 20-29/5000", FRESH, TAG, length=7), True),
    ],
)
async def test_a_206_that_is_not_what_was_asked_for_is_a_lie(
    house: House, text: str, answer: Scripted, is_lie: bool
) -> None:
    came = await ask(house, text, answer)
    assert came.is_lie is is_lie
    assert (came.part is None) is is_lie


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(200, (FRESH, TAG)),
        Scripted(404),
        Scripted(416, ()),
        part("bytes 20-29/5000", ("Cache-Control", "no-store"), TAG),
        part("bytes 20-29/5000", ("Cache-Control", "private"), TAG),
        part("bytes 20-29/5000", FRESH, TAG, ("Vary", "*")),
    ],
)
async def test_what_is_no_part_of_something_storable_is_left_to_others(
    house: House, answer: Scripted
) -> None:
    came = await ask(house, "bytes=20-29", answer)
    assert (came.part, came.stored, came.is_lie) == (None, None, False)


async def test_no_answer_is_told(house: House) -> None:
    house.upstream.answers("/big", UpstreamError(ProxyError.CONNECTION_REFUSED, "refused"))
    cold = ColdRange(house.parts, Plan(ORIGIN, "/big", Rules()), "one", Request("GET", "/big"))
    with pytest.raises(UpstreamError, match="refused"):
        await cold.ask(Headers(), "bytes=0-1")
