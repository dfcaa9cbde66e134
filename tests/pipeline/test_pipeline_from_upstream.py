"""Forwarded questions: who may share an answer, and what is served when there is none."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pipeline_house import House, Scripted, content
from pipeline_origin import RangeOrigin

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


async def test_private_answers_release_everybody_at_once(house: House) -> None:
    private = Scripted(fields=(("Cache-Control", "private"),))
    house.upstream.answers("/a", private)
    house.upstream.gate = asyncio.Event()
    asked = [asyncio.ensure_future(house.get("/a")) for _ in range(5)]
    await house.settle()
    house.upstream.gate.set()
    answers = await asyncio.gather(*asked)
    assert all(status == 200 for status, _, _ in answers)
    assert len(house.upstream.requests) == 5, "nobody gets what was meant for another"
    assert house.store.kept == {}


async def test_what_a_fill_has_left_since_the_store_was_looked_at_is_a_hit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=60"),)))
    at_once = house.store.lookup_partial

    async def slowly(key: str, digest: str = "") -> tuple[StoredResponse, ...]:
        monkeypatch.setattr(house.store, "lookup_partial", at_once)
        assert await house.get("/a") == (200, b"hello world", "miss")
        await house.fills_end()
        return await at_once(key, digest)

    monkeypatch.setattr(house.store, "lookup_partial", slowly)
    assert await house.get("/a") == (200, b"hello world", "hit")
    assert len(house.upstream.requests) == 1


async def test_who_was_slow_to_look_joins_the_fill_a_large_body_has_been_handed_over_to(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = bytes(10 << 20)
    origin = RangeOrigin(body, gate=asyncio.Event())
    house.upstream.answers("/big", origin)
    at_once, first = house.store.lookup_partial, []

    async def slowly(key: str, digest: str = "") -> tuple[StoredResponse, ...]:
        monkeypatch.setattr(house.store, "lookup_partial", at_once)
        found = await at_once(key, digest)
        first.append(asyncio.ensure_future(house.get("/big")))
        await house.settle()
        assert len(house.large_fills) == 1
        return found

    monkeypatch.setattr(house.store, "lookup_partial", slowly)
    late = asyncio.ensure_future(house.get("/big"))
    await house.settle()
    assert origin.gate is not None
    origin.gate.set()
    answers = await asyncio.gather(late, *first)
    assert [(status, data == body) for status, data, _ in answers] == [(200, True)] * 2
    assert origin.sent == len(body)


async def test_what_is_not_storable_is_remembered_and_not_queued_for(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "no-store"),)))
    await house.get("/a")
    await house.get("/a", If_None_Match='"x"')
    assert house.upstream.requests[1].headers.get("If-None-Match") == '"x"', "passed on as it came"


async def test_conditions_of_one_client_never_shape_a_shared_fill(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=60"), ("ETag", '"v1"'))))
    status, body, _ = await house.get("/a", If_None_Match='"v1"', Range="bytes=0-3", Expect="100-continue")
    sent = house.upstream.requests[0].headers
    assert "If-None-Match" not in sent
    assert "Range" not in sent
    assert "Expect" not in sent
    assert (status, body) == (304, b"")


async def test_a_stale_answer_is_revalidated_and_freshened(house: House) -> None:
    first = Scripted(fields=(("Cache-Control", "max-age=10"), ("ETag", '"v1"')))
    fresh = Scripted(304, fields=(("Cache-Control", "max-age=10"), ("ETag", '"v1"')), pieces=())
    house.upstream.answers("/a", first, fresh)
    await house.get("/a")
    house.now += 20
    assert await house.get("/a") == (200, b"hello world", "revalidated")
    assert house.upstream.requests[1].headers.get("If-None-Match") == '"v1"'


async def test_a_304_that_is_not_about_what_is_stored_is_asked_again_without_conditions(
    house: House,
) -> None:
    stored = Scripted(fields=(("Cache-Control", "max-age=0"), ("ETag", '"v1"')))
    foreign = Scripted(304, fields=(("ETag", '"v9"'),), pieces=())
    house.upstream.answers("/a", stored, foreign, Scripted(pieces=(b"new",)))
    await house.get("/a")
    house.now += 5
    assert (await house.get("/a"))[:2] == (200, b"new")
    assert "If-None-Match" not in house.upstream.requests[2].headers


async def test_stale_while_revalidate_answers_at_once_and_updates_behind(house: House) -> None:
    swr = (("Cache-Control", "max-age=10, stale-while-revalidate=60"),)
    later = (*swr, ("Date", "Fri, 15 Jan 2027 08:00:20 GMT"))
    house.upstream.answers("/a", Scripted(fields=swr), Scripted(fields=later, pieces=(b"new",)))
    await house.get("/a")
    house.now += 20
    assert await house.get("/a") == (200, b"hello world", "stale")
    await house.settle()
    assert await house.get("/a") == (200, b"new", "hit")


async def test_an_upstream_that_does_not_answer_leaves_the_stale_answer(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=10"),)), REFUSED)
    await house.get("/a")
    house.now += 20
    assert await house.get("/a") == (200, b"hello world", "stale")


async def test_a_failure_with_nothing_stored_names_the_upstream(house: House) -> None:
    house.upstream.answers("/a", REFUSED)
    response = await house.ask("/a")
    assert response.status == 502
    assert "connection_refused" in response.headers.get("Proxy-Status")
    assert b"origin.test" in await content(response)


async def test_authorized_requests_are_never_collapsed(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    house.upstream.gate = asyncio.Event()
    asked = [asyncio.ensure_future(house.get("/a", Authorization=f"Bearer {n}")) for n in range(3)]
    await house.settle()
    house.upstream.gate.set()
    await asyncio.gather(*asked)
    assert sorted(r.headers.get("Authorization") for r in house.upstream.requests) == [
        "Bearer 0",
        "Bearer 1",
        "Bearer 2",
    ]
    assert house.store.kept == {}


async def test_an_owner_that_leaves_does_not_leak_the_answer_meant_for_it(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "no-store"),)))
    house.upstream.gate = asyncio.Event()
    asked = asyncio.ensure_future(house.ask("/a"))
    await house.settle()
    asked.cancel()
    house.upstream.gate.set()
    await house.settle()
    assert asked.cancelled()
    assert [answer.closed for answer in house.upstream.given] == [True]


async def test_a_slow_upstream_is_not_waited_for_when_a_stale_answer_will_do(house: House) -> None:
    house.site.rules = Rules(patience=0.01, stale_when_disconnected=3600)
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=10"),)))
    await house.get("/a")
    house.now += 20
    house.upstream.gate = asyncio.Event()
    assert await house.get("/a") == (200, b"hello world", "stale")
    house.upstream.gate.set()


async def test_a_slow_upstream_is_waited_for_when_nothing_is_stored(house: House) -> None:
    house.site.rules = Rules(patience=0.01)
    house.upstream.answers("/a", Scripted())
    house.upstream.gate = asyncio.Event()
    asked = asyncio.ensure_future(house.get("/a"))
    await asyncio.sleep(0.05)
    assert not asked.done()
    house.upstream.gate.set()
    assert (await asked)[0] == 200


async def test_a_far_range_is_asked_for_by_itself_while_the_fill_goes_on(house: House) -> None:
    rest = asyncio.Event()
    size = 4 << 20
    house.site.shape = lambda plan: replace(plan, prefetch_bytes_max=size)
    part = (("Content-Range", f"bytes {size - 4}-{size - 1}/{size}"),)
    whole = Scripted(pieces=(b"x" * 100, rest, b"y" * (size - 104), b"tail"))
    house.upstream.answers("/a", whole, Scripted(206, fields=part, pieces=(b"tail",)))
    assert (await house.get("/a", Range="bytes=-4"))[:2] == (206, b"tail")
    rest.set()
    await house.fills_end()
    assert await house.get("/a", Range="bytes=-4") == (206, b"tail", "hit")
    assert len(house.upstream.requests) == 2
