"""Bytes from any offset: asked again from where they stopped, from wherever they are now, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pipeline_house import ORIGIN, House, Scripted
from pipeline_origin import PIECE, RangeOrigin, cut_after

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.pipeline import ranged_source
from edgeproxy.pipeline.ranged_source import RangedSource, RangesRefused, RepresentationChanged
from edgeproxy.policy.partial_content import Pinned
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Plan

BODY = bytes(range(256)) * 1000  # 256 000 bytes: four pieces
SIZE = len(BODY)
PINNED = Pinned(SIZE, '"v1"', digest_known=False)
REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")


@pytest.fixture
def origin(house: House) -> RangeOrigin:
    origin = RangeOrigin(BODY)
    house.upstream.answers("/big", origin)
    return origin


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which take no time here."""
    taken: list[float] = []

    async def pause(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(ranged_source, "asyncio", SimpleNamespace(sleep=pause))
    return taken


def source_of(house: House, pinned: Pinned = PINNED, **changes: Any) -> RangedSource:
    plan = Plan(ORIGIN, "/big", Rules(), redirects=frozenset({"cdn.test"}))
    fields = Headers((("Accept-Encoding", "identity"),))
    return RangedSource(house.parts.exchange, plan, "one", fields, pinned, house.metrics, **changes)


async def read(source: RangedSource, start: int, end: int) -> bytes:
    data = bytearray()
    async with aclosing(source.chunks(start, lambda: end)) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            data += chunk
            if start + len(data) >= end:
                break
    return bytes(data[: end - start])


def sent(house: House, name: str) -> list[str]:
    return [request.headers.get(name) for request in house.upstream.requests]


# -- asking ----------------------------------------------------------------------------------------


async def test_a_part_is_asked_for_on_condition_and_the_whole_plainly(
    house: House, origin: RangeOrigin
) -> None:
    source = source_of(house)
    assert await read(source, 100, 300) == BODY[100:300]
    assert await read(source, 0, SIZE) == BODY
    assert sent(house, "Range") == ["bytes=100-299", ""]
    assert sent(house, "If-Range") == ['"v1"', ""]
    assert house.metrics.value("upstream_bytes_total", "one") == 200 + SIZE
    assert all(answer.closed for answer in house.upstream.given)


async def test_a_known_digest_makes_conditions_needless(house: House, origin: RangeOrigin) -> None:
    origin.tag = '"another node"'
    assert await read(source_of(house, replace(PINNED, digest_known=True)), 100, 300) == BODY[100:300]
    assert sent(house, "If-Range") == [""]


async def test_the_reader_may_leave_early_and_the_exchange_ends(house: House, origin: RangeOrigin) -> None:
    chunks = source_of(house).chunks(0, lambda: SIZE)
    assert await anext(chunks) == BODY[:PIECE]
    await chunks.aclose()  # type: ignore[attr-defined]
    assert [answer.closed for answer in house.upstream.given] == [True]


async def test_an_end_that_moves_on_meanwhile_is_asked_for_next(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    stops, data = [200], b""
    async for chunk in source_of(house).chunks(100, lambda: stops[-1]):
        data += chunk
        if len(data) == 100:
            stops.append(500)
    assert data == BODY[100:500]
    assert origin.asked == [(100, 200), (200, 500)]


# -- breaking off ----------------------------------------------------------------------------------


async def test_what_breaks_off_goes_on_where_it_stopped(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    origin.faults = {0: cut_after(2), 1: cut_after(1)}
    assert await read(source_of(house), 10, SIZE) == BODY[10:]
    assert [start for start, _ in origin.asked] == [10, 10 + 2 * PIECE, 10 + 3 * PIECE]
    assert house.metrics.value("fill_resumes_total", "one") == 2
    assert pauses == [0, 0], "what gets on is not held up"


async def test_what_ends_early_without_a_word_goes_on_as_well(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    origin.faults = {0: lambda answer: replace(answer, pieces=answer.pieces[:1])}
    assert await read(source_of(house), 0, SIZE) == BODY
    assert [start for start, _ in origin.asked] == [0, PIECE]


async def test_before_the_first_byte_it_is_given_up_soon(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    origin.faults = dict.fromkeys(range(99), cut_after(0))
    with pytest.raises(UpstreamError, match="cut"):
        await read(source_of(house), 0, 100)
    assert len(origin.asked) == ranged_source.FIRST_ATTEMPTS_MAX
    assert pauses == pytest.approx([0.1, 0.2, 0.4])


async def test_after_the_first_byte_it_is_tried_longer_at_growing_intervals(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    origin.faults = {0: cut_after(1), **{n: cut_after(0) for n in range(1, 99)}}
    with pytest.raises(UpstreamError, match="cut"):
        await read(source_of(house), 0, SIZE)
    assert len(origin.asked) == 1 + ranged_source.IDLE_ATTEMPTS_MAX
    assert pauses == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])


async def test_a_later_piece_of_a_body_that_has_begun_is_tried_longer_as_well(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    source = source_of(house)
    await read(source, 0, 100)
    origin.faults = {n: cut_after(0) for n in range(1, ranged_source.IDLE_ATTEMPTS_MAX)}
    assert await read(source, 1000, 1100) == BODY[1000:1100]
    assert len(origin.asked) == 1 + ranged_source.IDLE_ATTEMPTS_MAX


async def test_a_new_byte_ends_the_count_of_idle_attempts_but_all_attempts_have_a_bound(
    house: House, pauses: list[float]
) -> None:
    def one_byte(request: Any) -> Scripted:
        start = int(request.headers.get("Range")[6:].partition("-")[0] or 0)
        fields = (("ETag", '"v1"'), ("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}"))
        return Scripted(206, fields, (BODY[start : start + 1],), length=SIZE - start)

    house.upstream.answers("/big", one_byte)
    with pytest.raises(UpstreamError, match="ended early"):
        await read(source_of(house), 5, SIZE)
    assert house.metrics.value("upstream_bytes_total", "one") == ranged_source.SLOW_ATTEMPTS_MAX
    assert len(house.upstream.requests) == ranged_source.SLOW_ATTEMPTS_MAX


@pytest.mark.parametrize(
    "error",
    [
        ProxyError.TLS_CERTIFICATE_ERROR,
        ProxyError.DESTINATION_IP_PROHIBITED,
        ProxyError.PROXY_LOOP_DETECTED,
        ProxyError.PROXY_INTERNAL_ERROR,
    ],
)
async def test_what_will_not_change_is_not_tried_again(
    house: House, pauses: list[float], error: ProxyError
) -> None:
    house.upstream.answers("/big", UpstreamError(error, "never"))
    with pytest.raises(UpstreamError, match="never"):
        await read(source_of(house), 0, 100)
    assert len(house.upstream.requests) == 1


# -- other representations, lies -------------------------------------------------------------------

Change = Callable[[Scripted], Scripted]


def with_fields(*fields: tuple[str, str], status: int = 206, length: int | None = 100) -> Change:
    return lambda answer: replace(answer, status=status, fields=fields, length=length)


@pytest.mark.parametrize(
    "change",
    [
        with_fields(("ETag", '"v2"'), ("Content-Range", f"bytes 100-199/{SIZE}")),
        with_fields(("ETag", 'W/"v1"'), ("Content-Range", f"bytes 100-199/{SIZE}")),
        with_fields(("Content-Range", f"bytes 100-199/{SIZE}")),
        with_fields(("ETag", '"v1"'), ("Content-Range", "bytes 100-199/5000")),
        with_fields(("ETag", '"v2"'), status=200, length=SIZE),
        with_fields(("ETag", '"v1"'), status=200, length=SIZE - 1),
        with_fields(status=416),
    ],
)
async def test_another_representation_is_noticed_at_once(
    house: House, origin: RangeOrigin, pauses: list[float], change: Change
) -> None:
    origin.faults = {0: change}
    with pytest.raises(RepresentationChanged, match="changed upstream"):
        await read(source_of(house), 100, 200)
    assert len(origin.asked) == 1
    assert house.metrics.value("upstream_changed_total", "one") == 1
    assert house.upstream.given[0].closed


@pytest.mark.parametrize(
    "lie",
    [
        with_fields(("ETag", '"v1"'), ("Content-Range", f"bytes 300-399/{SIZE}")),
        with_fields(("ETag", '"v1"'), ("Content-Range", "bytes 100-199/*")),
        with_fields(("ETag", '"v1"')),
        with_fields(("ETag", '"v1"'), ("Content-Range", f"bytes 100-199/{SIZE}"), length=99),
        with_fields(status=503),
        with_fields(status=204),
    ],
)
async def test_a_wrong_answer_is_not_used_and_the_question_asked_again(
    house: House, origin: RangeOrigin, pauses: list[float], lie: Change
) -> None:
    origin.faults = {0: lie}
    assert await read(source_of(house), 100, 200) == BODY[100:200]
    assert len(origin.asked) == 2
    assert house.metrics.value("upstream_lies_total", "one") == 1
    assert all(answer.closed for answer in house.upstream.given)


async def test_a_part_that_begins_before_what_was_asked_is_cut_to_it(
    house: House, origin: RangeOrigin
) -> None:
    early = (("ETag", '"v1"'), ("Content-Range", f"bytes 90-199/{SIZE}"))
    origin.faults = {0: lambda _: Scripted(206, early, (BODY[90:95], BODY[95:102], BODY[102:200]))}
    assert await read(source_of(house), 100, 200) == BODY[100:200]


# -- origins without ranges ------------------------------------------------------------------------


async def test_the_whole_sent_for_a_part_is_read_over_where_that_is_allowed(
    house: House, origin: RangeOrigin
) -> None:
    origin.serves_ranges = False
    source = source_of(house)
    assert not source.refuses_ranges
    assert await read(source, 2 * PIECE + 5, 2 * PIECE + 50) == BODY[2 * PIECE + 5 : 2 * PIECE + 50]
    assert source.refuses_ranges


async def test_the_whole_sent_for_a_part_is_not_read_twice(house: House, origin: RangeOrigin) -> None:
    origin.serves_ranges = False
    source = source_of(house)
    source.may_skip = lambda: False
    with pytest.raises(RangesRefused):
        await read(source, 100, 200)
    assert source.refuses_ranges
    assert len(origin.asked) == 1
    assert house.upstream.given[0].closed
    assert await read(source, 0, 200) == BODY[:200], "from its start there is nothing to read over"


# -- signed URLs -----------------------------------------------------------------------------------


def redirect(name: str) -> Scripted:
    return Scripted(302, (("Location", f"http://cdn.test{name}"),), ())


def targets(house: House) -> list[tuple[str, str]]:
    return [(request.origin.host, request.target) for request in house.upstream.requests]


async def test_where_the_last_one_ended_is_asked_first(house: House) -> None:
    house.upstream.answers("/big", redirect("/x?sig=1"))
    house.upstream.answers("/x?sig=1", RangeOrigin(BODY))
    source = source_of(house)
    await read(source, 0, 10)
    assert await read(source, 10, 20) == BODY[10:20]
    assert targets(house) == [("origin.test", "/big"), ("cdn.test", "/x?sig=1"), ("cdn.test", "/x?sig=1")]


@pytest.mark.parametrize("status", ranged_source.EXPIRED)
async def test_a_signed_url_that_has_expired_is_got_anew_without_an_attempt_lost(
    house: House, pauses: list[float], status: int
) -> None:
    house.upstream.answers("/big", redirect("/x?sig=2"))
    house.upstream.answers("/x?sig=1", Scripted(status, pieces=(b"expired",)))
    house.upstream.answers("/x?sig=2", RangeOrigin(BODY))
    source = source_of(house, located="http://cdn.test/x?sig=1")
    assert await read(source, 10, 20) == BODY[10:20]
    assert [target for _, target in targets(house)] == ["/x?sig=1", "/big", "/x?sig=2"]
    assert pauses == []
    await read(source, 20, 30)
    assert targets(house)[-1] == ("cdn.test", "/x?sig=2")
    assert all(answer.closed for answer in house.upstream.given)


async def test_where_nobody_answers_any_more_the_way_from_the_start_is_gone_again(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    house.upstream.answers("/x?sig=1", REFUSED)
    source = source_of(house, located="http://cdn.test/x?sig=1")
    assert await read(source, 10, 20) == BODY[10:20]
    assert [target for _, target in targets(house)] == ["/x?sig=1", "/big"]


async def test_refused_at_the_plan_itself_it_is_refused(house: House, pauses: list[float]) -> None:
    house.upstream.answers("/big", Scripted(403, pieces=(b"no",)))
    with pytest.raises(UpstreamError, match="403"):
        await read(source_of(house), 10, 20)
    assert len(house.upstream.requests) == ranged_source.FIRST_ATTEMPTS_MAX


async def test_a_wish_to_be_left_alone_is_told_at_once_and_waited_for_only_in_the_middle(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    limited = lambda answer: Scripted(429, (), (b"wait",))  # noqa: E731
    origin.faults = {0: limited}
    with pytest.raises(UpstreamError, match="429"):
        await read(source_of(house), 0, 100)
    assert (len(origin.asked), pauses) == (1, [])
    assert house.metrics.value("upstream_lies_total", "one") == 0
    origin.faults = {1: cut_after(1), 2: limited}
    assert await read(source_of(house), 0, SIZE) == BODY


# -- candidates ------------------------------------------------------------------------------------


def by(source: str, fault: Any = lambda answer: answer) -> Any:
    """An answer of `source`, with a fault."""
    return lambda answer: replace(fault(answer), source=source)


def avoided(house: House) -> list[list[str]]:
    return [sorted(request.avoid) for request in house.upstream.requests]


async def test_bulk_is_asked_for_as_bulk(house: House, origin: RangeOrigin) -> None:
    await read(source_of(house), 0, 100)
    assert [(one.bulk, one.site, one.key) for one in house.upstream.requests] == [
        (True, "one", "http://origin.test/big")
    ]


async def test_a_parent_that_breaks_off_is_left_at_once_for_the_next(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    origin.faults = {0: by("up", cut_after(1)), 1: by("far", cut_after(1)), 2: by("origin", cut_after(1))}
    source = source_of(house)
    assert await read(source, 0, SIZE) == BODY
    assert avoided(house) == [[], ["up"], ["far", "up"], ["far", "up"]]
    assert [start for start, _ in origin.asked] == [0, PIECE, 2 * PIECE, 3 * PIECE]
    assert pauses == [0], "only the origin is given time"
    assert source.sources == {"up", "far", "origin", ""}


async def test_whoever_broke_off_is_asked_again_after_a_while(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(ranged_source, "time", SimpleNamespace(monotonic=lambda: now[0]))
    origin.faults = {0: by("up", cut_after(1))}
    source = source_of(house)
    assert await read(source, 0, SIZE) == BODY
    now[0] += ranged_source.AVOID_SECONDS
    await read(source, 0, 100)
    assert avoided(house) == [[], ["up"], []]


async def test_a_parent_that_lies_or_has_something_else_is_left_too(
    house: House, origin: RangeOrigin, pauses: list[float]
) -> None:
    lie = by("up", lambda answer: replace(answer, status=206, fields=(("Content-Range", "bytes 7-8/9"),)))
    other = by("far", lambda answer: replace(answer, fields=(("ETag", '"v2"'), *answer.fields[2:])))
    origin.faults = {0: lie, 1: other}
    assert await read(source_of(house), 100, 300) == BODY[100:300]
    assert avoided(house) == [[], ["up"], ["far", "up"]]
    assert pauses == []


async def test_what_the_origin_says_of_its_resource_is_final_and_outdates_the_parent(
    house: House, origin: RangeOrigin
) -> None:
    origin.faults = {0: by("up", cut_after(1))}
    source = source_of(house)
    chunks = source.chunks(0, lambda: SIZE)
    assert await anext(chunks) == BODY[:PIECE]
    origin.tag = '"v2"'
    with pytest.raises(RepresentationChanged):
        await anext(chunks)
    assert house.blame.of("http://origin.test/big") == {"up"}


async def test_when_nobody_can_be_asked_who_waits_is_told_at_once(house: House, pauses: list[float]) -> None:
    nobody = UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, "all ejected", sent=False)
    house.upstream.answers("/big", nobody)
    with pytest.raises(UpstreamError, match="all ejected"):
        await read(source_of(house), 0, 100)
    assert (len(house.upstream.requests), pauses) == (1, [])
