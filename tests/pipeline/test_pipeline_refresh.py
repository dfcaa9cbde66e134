"""Refresh: what is in use is revalidated before it expires."""

from __future__ import annotations

from pipeline_house import House, Scripted

from edgeproxy.policy.rules import Rules


async def test_what_is_used_is_due_shortly_before_it_expires(house: House) -> None:
    house.site.rules = Rules(refresh_within=3600)
    house.upstream.answers("/a", Scripted())
    await house.get("/a")
    assert house.refresh.due(house.now) == [], "only a hit is a use"
    await house.get("/a")
    assert house.refresh.due(house.now + 30) == []
    assert [used.plan.target for used in house.refresh.due(house.now + 45)] == ["/a"]


async def test_what_nobody_used_for_long_is_forgotten(house: House) -> None:
    house.site.rules = Rules(refresh_within=100)
    house.upstream.answers("/a", Scripted())
    await house.get("/a")
    await house.get("/a")
    assert house.refresh.due(house.now + 101) == []
    assert house.refresh.due(house.now + 45) == []
