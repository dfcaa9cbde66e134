"""A response under watch: what came of its body is known of who sent it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from upstream_town import Calm, Came, Now

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.candidate_health import State
from edgeproxy.upstream.tracker import Tracker
from edgeproxy.upstream.upstream import PIECE_BYTES
from edgeproxy.upstream.watched import GOODPUT_BYTES, Watched

MIB = 1 << 20


class Slow(Came):
    """Each piece takes `seconds` of a clock that the test owns."""

    tick: Callable[[], None]

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.tick()
            if isinstance(piece, Exception):
                raise piece
            yield piece


def watched(
    *pieces: object, seconds: float = 1.0, patience: float | None = 5.0
) -> tuple[Watched, Tracker, Now]:
    now = Now()
    tracker = Tracker(
        Candidate("up", Role.PARENT), "", metrics=Metrics(), timer=now, chance=Calm(), report=lambda _: None
    )
    tracker.began()
    came = Slow(206, Headers((("ETag", '"x"'),)), pieces, content_length=9)

    def tick() -> None:
        now.seconds += seconds

    came.tick = tick
    return Watched(came, tracker, now, patience), tracker, now


async def taken(response: Watched) -> bytes:
    return b"".join([chunk async for chunk in response.chunks()])


async def test_it_is_the_response_with_its_source() -> None:
    response, _, _ = watched(b"a", b"b")
    assert (response.status, response.source, response.version, response.content_length) == (
        206,
        "up",
        "1.1",
        9,
    )
    assert response.headers.get("ETag") == '"x"'
    assert await taken(response) == b"ab"


async def test_goodput_is_what_came_in_the_time_it_took() -> None:
    response, tracker, _ = watched(b"x" * MIB, b"x" * MIB)
    await taken(response)
    await response.aclose()
    assert tracker.health.goodput == pytest.approx(MIB)
    assert tracker.in_use == 0


async def test_a_little_body_says_nothing_of_goodput() -> None:
    response, tracker, _ = watched(b"x" * (GOODPUT_BYTES - 1))
    await taken(response)
    await response.aclose()
    assert tracker.health.goodput is None


async def test_the_time_of_a_slow_reader_is_not_the_upstreams() -> None:
    response, tracker, now = watched(b"x" * MIB, b"x" * MIB)
    tracker.delivered(10 * MIB, 1.0, is_least=False)
    async for _ in response.chunks():
        now.seconds += 100
    await response.aclose()
    assert tracker.health.goodput == 10 * MIB


async def test_what_breaks_is_noted() -> None:
    cut = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")
    response, tracker, _ = watched(b"x", cut)
    with pytest.raises(UpstreamError, match="cut"):
        await taken(response)
    assert tracker.health.why == "failed: in mid-body, http_response_incomplete: cut"
    assert tracker.suspected.is_set()


async def test_a_stall_while_nothing_else_came_ejects() -> None:
    stalled = UpstreamError(ProxyError.CONNECTION_READ_TIMEOUT, "stalled")
    response, tracker, _ = watched(b"x", stalled)
    with pytest.raises(UpstreamError, match="stalled"):
        await taken(response)
    assert tracker.state is State.EJECTED


async def test_who_dawdles_is_left_and_who_is_slow_is_not() -> None:
    response, _, _ = watched(*[b"x" * 100] * 20)
    with pytest.raises(UpstreamError, match=r"500 bytes in 5.0 s"):
        await taken(response)
    response, _, _ = watched(*[b"x" * 1100] * 20)
    assert len(await taken(response)) == 22_000
    response, _, _ = watched(*[b"x"] * 20, patience=None)
    assert len(await taken(response)) == 20


async def test_closing_twice_counts_once() -> None:
    response, tracker, _ = watched()
    await response.aclose()
    await response.aclose()
    assert tracker.in_use == 0
