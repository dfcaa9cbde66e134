"""Which large fills run, and under which names they are found."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as changed
from pipeline_house import NOW, ORIGIN, House
from pipeline_origin import RangeOrigin

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.pipeline import large_fill
from edgeproxy.pipeline.asked import Source
from edgeproxy.pipeline.fill_end import FillEnd
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.pipeline.large_fills import is_identified
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Expected, Plan

BODY = bytes(range(256)) * 5000
SIZE = len(BODY)
SHA256 = hashlib.sha256(BODY).hexdigest()
PLAN = Plan(ORIGIN, "/big", Rules(), tags=("plan",), name="big")
STORED = StoredResponse(
    key=PLAN.key,
    site="one",
    status=200,
    fields=(("ETag", '"v1"'),),
    born=NOW,
    request_time=NOW,
    response_time=NOW,
    fresh_until=NOW + 60,
    body_bytes=SIZE,
    tags=("response",),
)


@pytest.fixture
def origin(house: House, monkeypatch: pytest.MonkeyPatch) -> RangeOrigin:
    monkeypatch.setattr(large_fill, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(large_fill, "TICK_SECONDS", 0.01)
    origin = RangeOrigin(BODY)
    house.upstream.answers("/big", origin)
    return origin


async def begin(house: House, plan: Plan = PLAN, stored: StoredResponse = STORED) -> LargeFill:
    partial = await house.store.create_partial(stored, sequence=house.store.sequence)
    return house.large_fills.start(Source(plan, "one", Headers()), partial, stored)


@pytest.mark.parametrize(
    ("digest", "tag", "identified"),
    [
        ("", '"v1"', True),
        (SHA256, "", True),
        (SHA256, 'W/"v1"', True),
        ("", 'W/"v1"', False),
        ("", "", False),
    ],
)
def test_parts_belong_together_by_digest_or_strong_tag(digest: str, tag: str, identified: bool) -> None:
    stored = changed(STORED, digest=digest, fields=(("ETag", tag),) if tag else ())
    assert is_identified(stored) is identified


async def test_who_comes_while_a_fill_is_wound_up_goes_on_with_its_parts(
    house: House, origin: RangeOrigin
) -> None:
    origin.gate = asyncio.Event()
    fill = await begin(house)
    reader = fill.body.reader(None)
    parts = reader.parts()
    await anext(parts)
    fill.error = UpstreamError(ProxyError.CONNECTION_TERMINATED, "gone")  # its reader has not left yet
    await asyncio.sleep(0.05)
    assert fill.end is FillEnd.FAILED
    origin.gate = None
    late = asyncio.ensure_future(house.get("/big"))
    await house.settle()
    assert not late.done()
    await parts.aclose()  # type: ignore[attr-defined]
    await reader.aclose()
    status, data, _ = await late
    assert (status, data == BODY) == (200, True)
    assert len([start for start, _ in origin.asked if start == 0]) == 1


async def test_a_fill_is_found_by_key_and_digest_while_it_runs(house: House, origin: RangeOrigin) -> None:
    fills = house.large_fills
    fill = await begin(house, stored=changed(STORED, digest=SHA256))
    reader = fill.body.reader(None)
    assert (len(fills), await fills.running(PLAN.key), await fills.running(SHA256)) == (1, [fill], [fill])
    assert await fills.running("other", "") == []
    await reader.aclose()
    await house.fills_end()
    await house.settle()
    assert (len(fills), await fills.running(PLAN.key, SHA256)) == (0, [])


async def test_a_purge_makes_it_unjoinable_and_one_of_something_else_does_not(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = await begin(house)
    reader = fill.body.reader(None)
    house.store.sequence += 1
    house.store.partials[0].sequence += 1  # what the purge did not mean is found as before
    assert await house.large_fills.running(PLAN.key) == [fill]
    house.store.sequence += 1
    assert await house.large_fills.running(PLAN.key) == []
    await reader.aclose()


async def test_a_soft_purge_makes_it_unjoinable_as_well(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = await begin(house)
    reader = fill.body.reader(None)
    partial = house.store.partials[0]
    house.store.sequence = partial.sequence = 1
    partial.stored = changed(partial.stored, fresh_until=0.0)
    assert await house.large_fills.running(PLAN.key) == []
    await reader.aclose()


@pytest.mark.parametrize(
    ("size", "most", "large"),
    [
        ((1 << 20), 1 << 40, False),
        ((1 << 20) + 1, 1 << 40, True),
        (1 << 30, 1 << 30, True),
        ((1 << 30) + 1, 1 << 30, False),
    ],
)
async def test_large_is_above_the_setting_and_not_above_what_is_stored_at_all(
    house: House, size: int, most: int, large: bool
) -> None:
    assert house.large_fills.is_large(replace(PLAN, rules=Rules(body_bytes_max=most)), size) is large


async def adopted(house: House, plan: Plan = PLAN, **changes: Any) -> LargeFill | None:
    answer = await house.parts.exchange.ask(plan, "one", "GET", Headers())
    stored = changed(STORED, **changes)
    return await house.large_fills.adopt(
        Source(plan, "one", Headers()), stored, answer, (0, stored.body_bytes)
    )


async def test_a_response_that_has_begun_goes_on_as_a_large_fill(house: House, origin: RangeOrigin) -> None:
    fill = await adopted(house, replace(PLAN, finish_without_readers=True))
    assert fill is not None
    assert (fill.stored.tags, fill.stored.name) == (("response", "plan"), "big")
    await house.fills_end()
    assert house.store.bodies[fill.partial.stored.body] == BODY
    assert origin.asked == [(0, SIZE)]


async def test_the_digest_is_that_of_the_plan_else_that_of_the_response(
    house: House, origin: RangeOrigin
) -> None:
    said = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    origin.fields = (*origin.fields, ("Repr-Digest", f"sha-256=:{said}:"))
    fill = await adopted(house)
    assert fill is not None
    assert fill.stored.digest == SHA256
    fill = await adopted(house, replace(PLAN, expected=Expected("1" * 64)))
    assert fill is not None
    assert fill.stored.digest == "1" * 64


@pytest.mark.parametrize(
    "changes",
    [{"status": 404}, {"body_bytes": 1 << 20}, {"fields": ()}, {"fields": (("ETag", 'W/"v1"'),)}],
    ids=["not a success", "not large", "no tag", "weak tag"],
)
async def test_what_is_not_kept_in_parts_stays_the_callers(
    house: House, origin: RangeOrigin, changes: dict[str, Any]
) -> None:
    assert await adopted(house, **changes) is None
    assert not house.upstream.given[0].closed
    assert len(house.large_fills) == 0
    assert house.store.partials == []


async def test_a_store_without_room_adopts_nothing(house: House, origin: RangeOrigin) -> None:
    house.store.fail_writes_after = 0
    assert await adopted(house) is None
    assert not house.upstream.given[0].closed


async def test_what_the_site_knows_beforehand_is_no_condition_for_who_sends_the_bytes(
    house: House, origin: RangeOrigin
) -> None:
    known = replace(PLAN, known=Headers((("ETag", '"site"'),)), expected=Expected(SHA256, SIZE))
    stored = changed(STORED, digest=SHA256, fields=(("ETag", '"site"'),))
    fill = await begin(house, known, stored)
    reader = fill.body.reader(((10, 20),))
    async for _ in reader.parts():
        pass
    await reader.aclose()
    assert [request.headers.get("If-Range") for request in house.upstream.requests] == [""]


async def test_what_is_outdated_is_thrown_away_and_not_joined(house: House, origin: RangeOrigin) -> None:
    origin.gate = asyncio.Event()
    fill = await begin(house)
    reader = fill.body.reader(None)
    await house.settle()
    await house.large_fills.invalidate(PLAN.key)
    assert await house.large_fills.running(PLAN.key) == []
    await reader.aclose()
    origin.gate.set()
    await house.fills_end()
    await house.large_fills.invalidate(PLAN.key)
    assert house.store.partials == []
    assert await house.large_fills.running(PLAN.key) == []
