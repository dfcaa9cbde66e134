"""Fills: one upstream exchange for all who ask, and an end that is proven."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from dataclasses import replace

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.errors import BodyAborted, ProxyError, UpstreamError
from edgeproxy.pipeline import fill
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


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


async def test_a_known_digest_is_checked_before_the_end_is_shown(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, expected=Expected(sha256="0" * 64))
    house.upstream.answers("/a", Scripted(pieces=(b"hello ", b"world")))
    assert (await house.get("/a"))[0] == 502, "a small body is proven before its head is told"
    assert house.store.kept == {}
    assert house.metrics.value("digest_mismatch_total", "one") == 1
    assert "0" * 64 in house.reports[0]


async def test_the_end_of_a_body_too_large_to_be_proven_first_is_held_back(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, expected=Expected(sha256="0" * 64))
    piece = b"x" * fill.PROVEN_BYTES
    house.upstream.answers("/a", Scripted(pieces=(piece, piece)))
    response = await house.ask("/a")
    assert response.status == 200
    with pytest.raises(BodyAborted):
        await content(response)
    assert house.store.kept == {}


async def test_wrong_bytes_nobody_has_seen_are_fetched_once_more(house: House) -> None:
    right = b"hello world"
    rules = Rules(retries=1)
    expected = Expected(sha256=hashlib.sha256(right).hexdigest())
    house.site.shape = lambda plan: replace(plan, expected=expected, rules=rules)
    house.upstream.answers("/a", Scripted(pieces=(b"hello_world",)), Scripted(pieces=(right,)))
    first, second = await asyncio.gather(house.get("/a"), house.get("/a"))
    assert first[:2] == second[:2] == (200, right)
    assert house.metrics.value("digest_mismatch_total", "one") == 1
    assert [data for _, data, _ in house.store.aside] == [b"hello_world"]
    await house.settle()
    assert await house.get("/a") == (200, right, "hit")


async def test_a_file_that_stays_wrong_is_asked_for_twice_and_refused(house: House) -> None:
    rules = Rules(retries=1)
    house.site.shape = lambda plan: replace(plan, expected=Expected(sha256="0" * 64), rules=rules)
    house.upstream.answers("/a", Scripted(pieces=(b"hello world",)))
    assert (await house.get("/a"))[0] == 502
    assert len(house.store.aside) == 2
    await house.fills_end()
    assert house.store.kept == {}


async def test_what_a_fill_was_is_freed_with_its_last_reader_and_not_found_later(house: House) -> None:
    def alive() -> int:
        return sum(isinstance(one, fill.Fill) for one in gc.get_objects())

    house.upstream.answers("/a", Scripted(pieces=(b"hello ", b"world")))
    before = alive()
    gc.disable()
    try:
        response = await house.ask("/a")
        assert alive() == before + 1
        assert await content(response) == b"hello world"
        del response
        await house.fills_end()
        assert alive() == before
    finally:
        gc.enable()


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
        await house.fills_end()
    assert house.metrics.value("fills_total", "one", "abandoned") == 1
    assert house.metrics.value("fills_total", "one", "complete") == 1


async def test_an_answer_to_no_question_is_refused(house: House) -> None:
    house.upstream.answers("/part", Scripted(206, fields=(("Content-Range", "bytes 0-10/99"),)))
    house.upstream.answers("/304", Scripted(304, pieces=()))
    assert (await house.get("/part"))[0] == 502
    assert (await house.get("/304"))[0] == 502


async def test_a_resource_that_is_missing_is_told_to_the_site(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, missing=f"no {plan.target}")
    house.upstream.answers("/plain", Scripted(404, pieces=(b"no",)))
    house.upstream.answers("/kept", Scripted(404, fields=(("Cache-Control", "max-age=9"),), pieces=(b"no",)))
    assert (await house.get("/plain"))[0] == 404
    assert (await house.get("/kept"))[0] == 404
    assert house.site.learned == ["no /plain", "no /kept"]


async def test_a_missing_resource_may_count_as_a_failure_that_teaches(house: House) -> None:
    house.site.rules = Rules(error_statuses=frozenset({404}), unavailable_status=503)
    house.site.shape = lambda plan: replace(plan, missing="gone")
    house.upstream.answers("/a", Scripted(404, pieces=(b"no",)))
    assert (await house.get("/a"))[0] == 503
    assert house.site.learned == ["gone"]


async def test_an_upstream_that_fails_at_once_is_asked_again_where_the_rules_say_so(house: House) -> None:
    house.site.rules = Rules(retries=1, unavailable_status=503)
    house.upstream.answers("/a", Scripted(500, pieces=(b"oops",)), Scripted())
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    house.upstream.answers("/b", Scripted(500, pieces=(b"oops",)))
    assert (await house.get("/b"))[0] == 503
    assert len(house.upstream.requests) == 4
