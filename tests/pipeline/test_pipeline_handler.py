"""The path of a request from outside: what a client gets, and what upstream was asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.errors import BodyAborted, ProxyError, RequestError, UpstreamError
from edgeproxy.message import Headers, Request
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


async def test_a_miss_is_stored_and_the_next_is_a_hit(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    assert await house.get("/a") == (200, b"hello world", "miss")
    assert await house.get("/a") == (200, b"hello world", "hit")
    assert len(house.upstream.requests) == 1


async def test_many_at_once_make_one_upstream_request(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    house.upstream.gate = asyncio.Event()
    asked = [asyncio.ensure_future(house.get("/a")) for _ in range(200)]
    await house.settle()
    house.upstream.gate.set()
    answers = await asyncio.gather(*asked)
    assert {(status, body) for status, body, _ in answers} == {(200, b"hello world")}
    assert len(house.upstream.requests) == 1


async def test_a_late_joiner_streams_from_the_running_fill(house: House) -> None:
    rest = asyncio.Event()
    house.upstream.answers("/a", Scripted(pieces=(b"first ", rest, b"second")))
    first = await house.ask("/a")
    late = await house.ask("/a")
    parts = late.body.parts()
    assert await anext(parts) == b"first "
    rest.set()
    assert await anext(parts) == b"second"
    assert await content(first) == b"first second"
    await late.body.aclose()
    assert late.outcome.collapsed
    assert len(house.upstream.requests) == 1


async def test_a_cut_body_breaks_the_client_off_and_is_not_stored(house: House) -> None:
    house.upstream.answers("/a", Scripted(pieces=(b"half", CUT), length=8), Scripted(pieces=(b"complete",)))
    response = await house.ask("/a")
    with pytest.raises(BodyAborted):
        await content(response)
    await house.settle()
    assert await house.get("/a") == (200, b"complete", "miss")


async def test_a_body_shorter_than_announced_is_never_complete(house: House) -> None:
    house.upstream.answers("/a", Scripted(pieces=(b"half",), length=8))
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))
    assert house.store.kept == {}


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


async def test_a_failure_may_be_remembered_for_a_while(house: House) -> None:
    house.site.rules = Rules(error_memory=2.0, unavailable_status=503, retry_after=1.0)
    house.upstream.answers("/a", REFUSED, Scripted())
    response = await house.ask("/a")
    assert (response.status, response.headers.get("Retry-After")) == (503, "1")
    assert (await house.get("/a"))[0] == 503
    assert len(house.upstream.requests) == 1
    house.now += 3
    assert (await house.get("/a"))[0] == 200


async def test_offline_never_asks(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=10"),)))
    await house.get("/a")
    house.site.rules = Rules(offline=True, unavailable_status=503)
    house.now += 1000
    assert await house.get("/a") == (200, b"hello world", "stale")
    assert (await house.get("/b"))[0] == 503
    assert (await house.get("/a", "POST"))[0] == 503
    assert len(house.upstream.requests) == 1


async def test_unsafe_methods_pass_and_invalidate(house: House) -> None:
    house.upstream.answers("/a", Scripted(), Scripted(201, pieces=(b"done",)), Scripted(pieces=(b"new",)))
    await house.get("/a")
    assert (await house.get("/a", "POST"))[:2] == (201, b"done")
    assert await house.get("/a") == (200, b"new", "miss")


async def test_head_is_answered_from_a_stored_get_and_passed_on_otherwise(house: House) -> None:
    house.upstream.answers("/a", Scripted(pieces=()), Scripted())
    assert (await house.get("/a", "HEAD"))[1:] == (b"", "miss")
    assert house.upstream.requests[0].method == "HEAD"
    await house.get("/a")
    response = await house.ask("/a", "HEAD")
    assert response.body.length == 11
    assert await content(response) == b""
    assert len(house.upstream.requests) == 2


async def test_a_known_digest_is_checked_before_the_end_is_shown(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, expected=Expected(sha256="0" * 64))
    house.upstream.answers("/a", Scripted(pieces=(b"hello ", b"world")))
    response = await house.ask("/a")
    with pytest.raises(BodyAborted):
        await content(response)
    assert house.store.kept == {}
    assert house.metrics.value("digest_mismatch_total", "one") == 1


async def test_a_store_that_fails_in_mid_body_is_not_noticed_by_the_client(house: House) -> None:
    house.store.fail_writes_after = 6
    house.upstream.answers("/a", Scripted(pieces=(b"hello ", b"w", b"orld")))
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    assert house.store.kept == {}


async def test_a_purge_supersedes_a_running_fill(house: House) -> None:
    rest = asyncio.Event()
    house.upstream.answers("/a", Scripted(pieces=(b"old ", rest, b"body")), Scripted(pieces=(b"new",)))
    first = await house.ask("/a")
    house.store.sequence += 1
    assert (await house.get("/a"))[:2] == (200, b"new")
    rest.set()
    assert await content(first) == b"old body", "who waited still gets an answer"
    await house.settle()
    assert await house.get("/a") == (200, b"new", "hit")


async def test_a_fill_nobody_reads_is_given_up_early_and_finished_late(house: House) -> None:
    for target, here in (("/early", 100), ("/late", 700_000)):
        rest = asyncio.Event()
        pieces = (b"x" * here, rest, *[b"y" * 1000] * 300)
        house.upstream.answers(target, Scripted(pieces=pieces))
        response = await house.ask(target)
        await response.body.aclose()
        rest.set()
        while house.fills.joinable(f"http://origin.test{target}") is not None:
            await asyncio.sleep(0)
    assert house.metrics.value("fills_total", "one", "abandoned") == 1
    assert house.metrics.value("fills_total", "one", "complete") == 1


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


async def test_variants_are_chosen_by_what_vary_names(house: House) -> None:
    vary = (("Cache-Control", "max-age=60"), ("Vary", "Accept-Language"))
    house.upstream.answers(
        "/a", Scripted(fields=vary, pieces=(b"en",)), Scripted(fields=vary, pieces=(b"de",))
    )
    assert (await house.get("/a", Accept_Language="en"))[1] == b"en"
    assert (await house.get("/a", Accept_Language="de"))[1] == b"de"
    assert (await house.get("/a", Accept_Language="en"))[1:] == (b"en", "hit")


async def test_a_request_that_came_through_here_before_is_a_loop(house: House) -> None:
    request = Request("GET", "/a", Headers((("Via", "1.1 edge"),)))
    with pytest.raises(RequestError) as refused:
        await house.handler(request)
    assert refused.value.status == 508


async def test_redirects_go_only_where_the_plan_allows(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, redirects=frozenset({"origin.test"}))
    house.upstream.answers("/a", Scripted(302, fields=(("Location", "/b"),), pieces=()))
    house.upstream.answers("/b", Scripted())
    house.upstream.answers("/c", Scripted(302, fields=(("Location", "http://evil.test/"),), pieces=()))
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    assert (await house.get("/c"))[0] == 502


async def test_an_answer_to_no_question_is_refused(house: House) -> None:
    house.upstream.answers("/part", Scripted(206, fields=(("Content-Range", "bytes 0-10/99"),)))
    house.upstream.answers("/304", Scripted(304, pieces=()))
    assert (await house.get("/part"))[0] == 502
    assert (await house.get("/304"))[0] == 502
