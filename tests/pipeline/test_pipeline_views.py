"""Views: derived once for each body, kept beside it, and gone with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from pipeline_house import House, Scripted

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Derived, Unacceptable

FRESH = (("Cache-Control", "max-age=60"), ("ETag", '"1"'))


@dataclass
class Shout:
    """A view in capitals; it counts how often it was derived and refuses what contains "bad"."""

    id: str = "shout"
    volatile: bool = False
    derived: list[bytes] = field(default_factory=list)

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        self.derived.append(body)
        if b"bad" in body:
            raise Unacceptable("this is bad", learned="bad was seen")
        return Derived(Headers((("Content-Type", "text/loud"),)), body.upper(), learned=len(body))


def shouting(house: House, **changes: object) -> Shout:
    shout = Shout(**changes)  # type: ignore[arg-type]
    house.site.shape = lambda plan: replace(plan, view=shout)
    return shout


async def test_clients_get_the_view_and_it_is_derived_once(house: House) -> None:
    shout = shouting(house)
    house.upstream.answers("/a", Scripted(fields=FRESH))
    for outcome in ("miss", "hit", "hit"):
        assert await house.get("/a") == (200, b"HELLO WORLD", outcome)
    assert shout.derived == [b"hello world"]
    assert house.site.learned == [11]
    assert len(house.upstream.requests) == 1


async def test_many_at_once_make_one_fetch_and_one_derivation(house: House) -> None:
    shout = shouting(house)
    house.upstream.answers("/a", Scripted(fields=FRESH))
    answers = await asyncio.gather(*(house.get("/a") for _ in range(20)))
    assert {body for _, body, _ in answers} == {b"HELLO WORLD"}
    assert len(house.upstream.requests) == len(shout.derived) == 1


async def test_what_is_cut_off_before_anybody_has_seen_it_is_fetched_again(house: House) -> None:
    cut = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")
    shout, rules = Shout(), Rules(retries=1)
    house.site.shape = lambda plan: replace(plan, view=shout, rules=rules)
    half = Scripted(fields=(("Cache-Control", "max-age=60"),), pieces=(b"hello", cut), length=11)
    house.upstream.answers("/a", half, Scripted(fields=FRESH))
    assert await house.get("/a") == (200, b"HELLO WORLD", "miss")
    assert shout.derived == [b"hello world"], "no half of it is shown or kept"
    house.upstream.answers("/b", half)
    assert (await house.get("/b"))[0] == 502
    assert len(house.upstream.requests) == 4, "as often as the rules say"


async def test_another_view_of_the_same_body_asks_nobody(house: House) -> None:
    shouting(house)
    house.upstream.answers("/a", Scripted(fields=FRESH))
    await house.get("/a")
    other = shouting(house, id="other")
    assert await house.get("/a") == (200, b"HELLO WORLD", "hit")
    assert other.derived == [b"hello world"]
    assert len(house.upstream.requests) == 1


async def test_a_new_body_gets_a_new_view(house: House) -> None:
    shout = shouting(house)
    later = (*FRESH, ("Date", "Fri, 15 Jan 2027 08:02:00 GMT"))
    house.upstream.answers("/a", Scripted(fields=FRESH), Scripted(fields=later, pieces=(b"new",)))
    await house.get("/a")
    house.now += 120
    assert (await house.get("/a"))[:2] == (200, b"NEW")
    assert await house.get("/a") == (200, b"NEW", "hit")
    assert shout.derived == [b"hello world", b"new"]


async def test_a_freshened_source_keeps_its_view(house: House) -> None:
    shout = shouting(house)
    house.upstream.answers("/a", Scripted(fields=FRESH), Scripted(304, fields=FRESH, pieces=()))
    await house.get("/a")
    house.now += 120
    assert await house.get("/a") == (200, b"HELLO WORLD", "revalidated")
    assert len(shout.derived) == 1


async def test_what_is_unacceptable_is_a_failure_of_the_upstream(house: House) -> None:
    shouting(house)
    house.upstream.answers("/a", Scripted(fields=FRESH, pieces=(b"bad page",)))
    assert (await house.get("/a"))[0] == 502
    assert house.store.kept == {}
    assert house.site.learned == ["bad was seen"]
    assert house.metrics.value("unacceptable_total", "one") >= 1


async def test_an_unacceptable_page_never_replaces_a_good_one(house: House) -> None:
    shouting(house)
    house.upstream.answers("/a", Scripted(fields=FRESH), Scripted(fields=FRESH, pieces=(b"bad page",)))
    await house.get("/a")
    house.now += 120
    assert await house.get("/a") == (200, b"HELLO WORLD", "stale")


async def test_a_volatile_view_is_derived_for_each_answer(house: House) -> None:
    shout = shouting(house, volatile=True)
    house.upstream.answers("/a", Scripted(fields=FRESH))
    for _ in range(3):
        assert (await house.get("/a"))[1] == b"HELLO WORLD"
    assert len(shout.derived) == 3


async def test_errors_have_no_view(house: House) -> None:
    shouting(house)
    house.upstream.answers("/a", Scripted(404, fields=FRESH, pieces=(b"not here",)))
    assert (await house.get("/a"))[:2] == (404, b"not here")


async def test_the_otherwise_plan_answers_when_the_first_fails(house: House) -> None:
    shout = Shout()
    house.site.shape = lambda plan: replace(plan, otherwise=replace(plan, target="/wheel", view=shout))
    house.upstream.answers("/a", Scripted(404, pieces=(b"no",)))
    house.upstream.answers("/wheel", Scripted(fields=FRESH, pieces=(b"metadata",)))
    assert (await house.get("/a"))[:2] == (200, b"METADATA")


async def test_a_prerequisite_is_seen_before_what_needs_it(house: House) -> None:
    shout = Shout()
    house.upstream.answers("/page", Scripted(fields=FRESH, pieces=(b"page",)))
    house.upstream.answers("/a", Scripted(fields=FRESH))
    house.site.shape = lambda plan: (
        plan
        if house.site.learned
        else replace(plan, prerequisite=replace(plan, target="/page", view=shout, prerequisite=None))
    )
    assert (await house.get("/a"))[1] == b"hello world"
    assert [request.target for request in house.upstream.requests] == ["/page", "/a"]
    assert house.site.learned == [4]


async def test_a_stored_page_teaches_again_after_a_restart(house: House) -> None:
    shout = Shout()
    house.upstream.answers("/page", Scripted(fields=FRESH, pieces=(b"page",)))
    house.upstream.answers("/a", Scripted(fields=FRESH))
    house.site.shape = lambda plan: replace(plan, view=shout)
    await house.get("/page")
    house.site.learned.clear()
    house.site.shape = lambda plan: (
        plan
        if house.site.learned
        else replace(plan, prerequisite=replace(plan, target="/page", view=shout, prerequisite=None))
    )
    assert (await house.get("/a"))[1] == b"hello world"
    assert house.site.learned == [4]
    assert [request.target for request in house.upstream.requests] == ["/page", "/a"]
