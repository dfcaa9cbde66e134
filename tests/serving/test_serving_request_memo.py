from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_stand import Serve

from edgeproxy.config import Limits, Log
from edgeproxy.message import BytesBody, CacheOutcome, Headers, HeadOnly, Outcome, Request, Response

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Kept:
    """A stored response that counts how often it was used and how often the handler was asked."""

    def __init__(self, data: bytes = b"content") -> None:
        self.data = data
        self.fresh_until = 2000.0
        self.sequence = 0
        self.now = 1000.25
        self.uses = 0
        self.asked = 0
        self.permit = True

    def fields(self, now: float) -> Headers:
        return Headers([("ETag", '"1"'), ("Age", str(int(now) - 900))])

    def used(self) -> None:
        self.uses += 1

    @property
    def held(self) -> Kept:
        return self

    source = None

    async def handler(self, request: Request) -> Response:
        self.asked += 1
        body = HeadOnly(len(self.data)) if request.method == "HEAD" else BytesBody(self.data)
        outcome = Outcome(CacheOutcome.HIT, site="files")
        reuse: Any = self if self.permit else None
        return Response(200, self.fields(self.now), body, outcome, reuse=reuse)


async def start(serve: Serve, kept: Kept, **options: Any) -> Any:
    return await serve(kept.handler, clock=lambda: kept.now, **options)


async def ask(served: Any, head: bytes) -> bytes:
    """Send `head` on a kept connection and read one answer with its content."""
    reader, writer = await served.connect()
    writer.write(head)
    answer = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HEAD"):
        length = int(answer.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        answer += await reader.readexactly(length)
    writer.close()
    return bytes(answer)


@pytest.mark.parametrize("size", [0, 10, 3000, 600_000])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_known_head_is_answered_without_asking_in_the_same_bytes(
    serve: Serve, method: bytes, size: int
) -> None:
    kept = Kept(b"c" * size)
    served = await start(serve, kept)
    head = GET.replace(b"GET", method)
    first = await ask(served, head)
    assert await ask(served, head) == first
    assert await ask(served, head) == first
    assert kept.asked == 1
    assert kept.uses >= 1, "told once a second"
    assert served.metrics.value("requests_total", "files", "hit", "200") == 3
    assert served.metrics.value("client_bytes_total", "files") == (0 if method == b"HEAD" else 3 * size)


async def test_the_head_is_made_again_when_the_second_changes(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    await ask(served, GET)
    assert b"Age: 100\r\n" in await ask(served, GET)
    kept.now = 1001.0
    assert b"Age: 101\r\n" in await ask(served, GET)
    kept.now = 1000.5  # a clock set back
    assert b"Age: 100\r\n" in await ask(served, GET)
    assert kept.asked == 1


async def test_permission_ends_with_freshness_sequence_and_retirement(serve: Serve) -> None:
    kept, current = Kept(), [0]
    served = await start(serve, kept, sequence=lambda: current[0])
    await ask(served, GET)
    await ask(served, GET)
    assert kept.asked == 1
    current[0] = kept.sequence = 1
    await ask(served, GET)
    kept.sequence = 0
    await ask(served, GET)
    assert kept.asked == 2
    kept.sequence = 1
    await ask(served, GET)
    kept.now = 2000.0
    await ask(served, GET)
    assert kept.asked == 3
    kept.now, kept.fresh_until = 1000.0, 0.0
    await ask(served, GET)
    assert kept.asked == 4


@pytest.mark.parametrize(
    "field", [b"Range: bytes=0-", b"Cookie: a", b"Authorization: b", b"If-None-Match: c", b"Cache-Control: x"]
)
async def test_heads_that_ask_for_more_are_never_remembered(serve: Serve, field: bytes) -> None:
    kept = Kept()
    served = await start(serve, kept)
    head = GET[:-2] + field + b"\r\n\r\n"
    await ask(served, head)
    await ask(served, head)
    assert kept.asked == 2


async def test_nothing_is_remembered_for_trusted_peers_without_permission_or_beyond_the_bounds(
    serve: Serve,
) -> None:
    for options in (
        {"trusted_clients": ["127.0.0.0/8"]},
        {"limits": Limits(memo=0)},
        {"limits": Limits(memo_head=9)},
    ):
        kept = Kept()
        served = await start(serve, kept, **options)
        await ask(served, GET)
        await ask(served, GET)
        assert kept.asked == 2
    kept = Kept()
    kept.permit = False
    served = await start(serve, kept)
    await ask(served, GET)
    await ask(served, GET)
    assert kept.asked == 2


async def test_the_memo_is_bounded_and_lets_go_of_what_is_retired(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept, limits=Limits(memo=3))
    for number in range(10):
        await ask(served, GET.replace(b"/a", b"/%d" % number))
    assert served.metrics.gauges["memo_entries"]() == 3
    kept.fresh_until = 0.0
    served.listeners._look()
    assert served.metrics.gauges["memo_entries"]() == 0


async def test_pipelined_known_heads_are_answered_in_order(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    await ask(served, GET)
    assert (await served.say(GET * 20 + LAST)).count(b"content") == 21
    assert kept.asked == 2


HEADS = st.sampled_from(
    [
        GET,
        GET.replace(b"GET", b"HEAD"),
        GET.replace(b"x", b"y"),
        GET[:-2] + b"Range: bytes=0-1\r\n\r\n",
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        GET[:-2] + b"Accept: */*\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heads=st.lists(HEADS, min_size=1, max_size=8), size=st.sampled_from([0, 5, 5000]))
async def test_the_same_bytes_get_the_same_answers_with_and_without_memo(
    serve: Serve, heads: list[bytes], size: int
) -> None:
    answers = []
    for memo in (4096, 0):
        kept = Kept(b"d" * size)
        served = await start(serve, kept, limits=Limits(memo=memo, drain_timeout=0.1))
        answers.append([await served.say(b"".join(heads) + LAST), await served.say(b"".join(heads) + LAST)])
    assert answers[0] == answers[1]


async def test_recalled_answers_are_logged_like_others(serve: Serve, tmp_path: Any) -> None:
    import orjson

    path, kept = tmp_path / "access", Kept()
    served = await start(serve, kept, log=Log(access_file=str(path)))
    await ask(served, GET)
    await ask(served, GET)
    served.log.close()
    first, second = (orjson.loads(line) for line in path.read_bytes().splitlines())
    assert list(first) == list(second)
    for name in ("url", "status", "bytes", "cache", "site", "client", "time", "host"):
        assert first[name] == second[name], name
