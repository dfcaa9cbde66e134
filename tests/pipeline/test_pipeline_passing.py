"""Exchanges for one client alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.errors import BodyAborted, ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.pipeline import passing
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected, Unacceptable

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


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


# -- the site's own touch --------------------------------------------------------------------------


async def test_a_relay_shapes_the_fields_and_knows_where_they_came_from(house: House) -> None:
    seen: list[tuple[int, str]] = []

    def relay(status: int, headers: Headers, url: str) -> Headers:
        seen.append((status, url))
        return headers.without(("X-Secret",)).adding((("X-Relayed", "yes"),))

    house.site.shape = lambda plan: replace(plan, relay=relay, redirects=frozenset({"cdn.test"}))
    house.upstream.answers("/a", Scripted(302, (("Location", "http://cdn.test/b"),), ()))
    house.upstream.answers("/b", Scripted(201, (("X-Secret", "s"),), (b"done",)))
    response = await house.ask("/a", "POST")
    assert (await content(response), response.status) == (b"done", 201)
    assert "X-Secret" not in response.headers
    assert response.headers.get("X-Relayed") == "yes"
    house.upstream.answers("/a", REFUSED)
    response = await house.ask("/a", "POST")
    assert (response.status, response.headers.get("X-Relayed")) == (502, "yes")
    await content(response)
    assert seen == [(201, "http://cdn.test/b"), (502, "")], "the node's own word comes from no URL"


async def test_a_transform_gives_the_client_another_content(house: House) -> None:
    def transform(status: int, headers: Headers, data: bytes) -> tuple[Headers, bytes]:
        return headers.adding((("X-Status", str(status)),)), data.upper()

    house.site.shape = lambda plan: replace(plan, transform=transform)
    house.upstream.answers("/a", Scripted(pieces=(b"hello ", b"world")))
    response = await house.ask("/a", "POST")
    assert await content(response) == b"HELLO WORLD"
    assert response.body.length == 11
    assert response.headers.get("X-Status") == "200"
    assert house.upstream.given[0].closed


@pytest.mark.parametrize("pieces", [(b"hello",), (b"hel", CUT), (b"x" * 101,)])
async def test_what_cannot_be_transformed_is_the_upstreams_failure(
    house: House, monkeypatch: pytest.MonkeyPatch, pieces: tuple[Any, ...]
) -> None:
    def transform(status: int, headers: Headers, data: bytes) -> tuple[Headers, bytes]:
        raise Unacceptable("no JSON")

    monkeypatch.setattr(passing, "TRANSFORMED_BYTES_MAX", 100)
    house.site.shape = lambda plan: replace(plan, transform=transform)
    house.upstream.answers("/a", Scripted(pieces=pieces, length=None))
    assert (await house.get("/a", "POST"))[0] == 502
    assert house.upstream.given[0].closed


# -- what is known of a body beforehand ------------------------------------------------------------

BODY = b"what it is" * 10
EXPECTED = Expected(hashlib.sha256(BODY).hexdigest(), len(BODY))
UNSTORED = (("Cache-Control", "no-store"),)


@pytest.mark.parametrize("wrong", [BODY[:-1] + b"!", b"<html>"], ids=["a byte", "a page"])
async def test_what_is_passed_on_must_be_what_is_expected(house: House, wrong: bytes) -> None:
    house.site.shape = lambda plan: replace(plan, expected=EXPECTED)
    house.upstream.answers("/a", Scripted(pieces=(wrong,), length=len(wrong)))
    response = await house.ask("/a", Cache_Control="no-store")
    if response.status == 200:
        with pytest.raises(BodyAborted):
            await content(response)
    else:
        assert response.status == 502
        await content(response)
    assert house.metrics.value("digest_mismatch_total", "one") == 1
    house.upstream.answers("/a", Scripted(pieces=(BODY,), length=len(BODY)))
    assert (await house.get("/a", Cache_Control="no-store"))[:2] == (200, BODY)


async def test_a_refusal_a_moment_ago_lets_nothing_pass_unproven(house: House) -> None:
    house.site.rules = Rules(uncacheable_memory=60.0)
    house.site.shape = lambda plan: replace(plan, expected=EXPECTED)
    house.upstream.answers("/a", Scripted(429, UNSTORED, (b"wait",)), Scripted(pieces=(b"<html>",), length=6))
    assert (await house.get("/a"))[0] == 429
    assert (await house.get("/a"))[0] == 502
