"""What is found at once is what the whole way of a request would give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_house import NOW, ORIGIN, House, Scripted, content

from edgeproxy.message import CacheOutcome, Headers, Request, Response
from edgeproxy.pipeline import plain_hits
from edgeproxy.pipeline.plain_hits import LOOKED_AT, is_plain
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected, Plan, Upcoming, plans_by_target
from edgeproxy.storage.store import Purge, PurgeScope

VARIED = (("Cache-Control", "max-age=60"), ("Vary", "Accept-Language"))


def request(target: str = "/a", authority: str = "node.test", method: str = "GET", **fields: str) -> Request:
    pairs = ((name.replace("_", "-"), value) for name, value in fields.items())
    return Request(method, target, Headers(pairs), authority=authority, client="192.0.2.1")


def steady(house: House) -> House:
    """With a site that says that it plans by target."""
    house.site.plans_by_target = True  # type: ignore[attr-defined]
    assert plans_by_target(house.site)
    return house


async def known(house: House, **fields: str) -> House:
    """/a is stored, and has been a hit."""
    steady(house).upstream.answers("/a", Scripted())
    await house.get("/a", **fields)
    for _ in range(2):
        assert house.handler.at_once(request(**fields)) is None, "neither a miss nor one hit says anything"
        assert (await house.get("/a", **fields))[2] == "hit"
    return house


async def test_a_hit_is_found_by_any_plain_request_for_its_target(house: House) -> None:
    await known(house)
    asked = request(User_Agent="another", X_Request_Id="7", Accept="*/*", Connection="keep-alive")
    found, full = house.handler.at_once(asked), await house.handler(asked)
    assert found is not None
    assert found.outcome.cache is CacheOutcome.HIT
    assert (found.status, found.headers) == (full.status, full.headers)
    assert await content(found) == await content(full) == b"hello world"
    assert found.reuse is not None, "the request memo may have it"


@pytest.mark.parametrize(
    "other",
    [
        request("/b"),
        request("/a?"),
        request(authority="other.test"),
        request(method="HEAD"),
        request(method="POST"),
        replace(request(), target_scheme="http"),
        replace(request(), is_named=True),
        request(Connection="X-Request-Id"),
        request(Connection="keep-alive, Via"),
    ],
    ids=repr,
)
async def test_another_request_goes_the_whole_way(house: House, other: Request) -> None:
    await known(house)
    assert house.handler.at_once(other) is None


@pytest.mark.parametrize("name", sorted(LOOKED_AT))
async def test_a_field_that_has_a_say_goes_the_whole_way(house: House, name: str) -> None:
    await known(house)
    assert house.handler.at_once(request(**{name.title(): "x"})) is None


async def test_time_passes(house: House) -> None:
    await known(house)
    house.now += 7
    found = house.handler.at_once(request())
    assert found is not None
    assert (found.headers.get("Age"), found.headers.get("Cache-Status")) == ("7", "edge; hit; ttl=53")
    house.now += 53
    assert house.handler.at_once(request()) is None, "it is stale"


async def test_within_a_second_the_fields_are_the_same_value(house: House) -> None:
    await known(house)
    first = house.handler.at_once(request())
    house.now += 0.9
    second = house.handler.at_once(request())
    assert first is not None
    assert second is not None
    assert second.headers is first.headers


async def test_a_purge_is_seen(house: House) -> None:
    await known(house)
    await house.store.purge(Purge(PurgeScope.ALL))
    assert house.handler.at_once(request()) is None


async def test_what_vary_names_is_told_apart(house: House) -> None:
    steady(house).upstream.answers(
        "/a", Scripted(fields=VARIED, pieces=(b"en",)), Scripted(fields=VARIED, pieces=(b"de",))
    )
    for language in ("en", "de", "en", "de", "en", "de"):
        await house.get("/a", Accept_Language=language)
    for language in ("en", "de"):
        found = house.handler.at_once(request(Accept_Language=language, X_Other=language))
        assert found is not None
        assert await content(found) == language.encode()
    assert house.handler.at_once(request(Accept_Language="fr")) is None
    assert house.handler.at_once(request()) is None


async def test_a_new_variant_makes_what_was_known_unknown(house: House) -> None:
    await known(house)
    (stored,) = house.store.kept[f"{ORIGIN.url}/a"]

    house.store.bodies["other"] = b"other"
    house.store.put(
        msgspec.structs.replace(stored, selecting=(("accept", "b"),), body="other", response_time=NOW + 1)
    )
    assert house.handler.at_once(request()) is None
    assert (await house.get("/a", Accept="b"))[1] == b"other"


async def test_a_site_that_does_not_say_so_is_asked_each_time(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    for _ in range(3):
        await house.get("/a")
    assert house.handler.at_once(request()) is None


async def test_what_is_not_a_hit_of_200_is_not_known(house: House) -> None:
    gone = Scripted(404, fields=(("Cache-Control", "max-age=60"),))
    steady(house).upstream.answers("/a", gone)
    for _ in range(3):
        await house.get("/a")
    assert house.handler.at_once(request()) is None


def presented(headers: Headers, stored: Any, now: float, stale: bool) -> Headers:
    return headers


SHAPES: dict[str, Callable[[Plan], Plan]] = {
    "judged": lambda plan: replace(plan, is_judged=True),
    "presented": lambda plan: replace(plan, present=presented),
    "expected": lambda plan: replace(plan, expected=Expected(sha256="ab" * 32)),
    "upcoming": lambda plan: replace(plan, upcoming=Upcoming("g", ())),
    "instead": lambda plan: replace(plan, instead=lambda: None),
    "otherwise": lambda plan: replace(plan, otherwise=plan),
    "refreshed": lambda plan: replace(plan, rules=Rules(refresh_within=60.0)),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_a_plan_with_more_to_it_is_not_known(house: House, name: str) -> None:
    steady(house).site.shape = SHAPES[name]
    house.upstream.answers("/a", Scripted())
    for _ in range(3):
        await house.get("/a")
    assert house.handler.at_once(request()) is None


async def test_targets_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_hits, "TARGETS_MAX", 3)
    steady(house)
    for name in "abcde":
        house.upstream.answers(f"/{name}", Scripted())
        for _ in range(3):
            await house.get(f"/{name}")
    found = [house.handler.at_once(request(f"/{name}")) is not None for name in "abcde"]
    assert found == [False, False, True, True, True]


async def test_a_very_long_target_is_not_known(house: House) -> None:
    target = "/" + "a" * plain_hits.TARGET_LENGTH
    steady(house).upstream.answers(target, Scripted())
    for _ in range(3):
        await house.get(target)
    assert house.handler.at_once(request(target)) is None


async def test_spellings_are_bounded(house: House) -> None:
    fields = (("Cache-Control", "max-age=60"), ("Vary", "Accept-Encoding"))
    steady(house).upstream.answers("/a", Scripted(fields=fields))
    for number in range(100):
        await house.get("/a", Accept_Encoding=f"gzip, x{number}")
    (place,) = house.handler._plain._places.values()
    assert len(place.known) <= plain_hits.SPELLINGS_MAX


# The whole of it: whatever is stored and asked for, what is found at once is what the way gives.

FIELDS = {
    "Accept-Language": ["en", "de", "en, de;q=0.5", ""],
    "Accept-Encoding": ["gzip", "gzip, br", "identity", "*"],
    "User-Agent": ["a", "b"],
    "X-Request-Id": ["1", "2"],
    "Connection": ["keep-alive", "close", "x-request-id"],
    "Cache-Control": ["no-cache", "max-age=5", "no-store", "only-if-cached"],
    "Pragma": ["no-cache"],
    "Range": ["bytes=0-2", "bytes=99-"],
    "If-None-Match": ['"1"', "*"],
    "If-Modified-Since": ["Fri, 15 Jan 2027 08:00:00 GMT"],
    "Authorization": ["Basic eDp5"],
    "Want-Repr-Digest": ["sha-256=10"],
    "Edge-Node": ["child"],
    "Via": ["1.1 other"],
}
each_field = st.sampled_from([(name, value) for name, values in FIELDS.items() for value in values])
asked_fields = st.lists(each_field, max_size=2, unique_by=lambda pair: pair[0])
asks = st.tuples(st.just("ask"), st.sampled_from(["GET", "GET", "GET", "HEAD"]), asked_fields)
steps = st.one_of(
    *(asks,) * 6,
    st.tuples(st.just("tick"), st.integers(1, 40), st.none()),
    st.tuples(st.just("purge"), st.none(), st.none()),
)
answers = st.builds(
    lambda status, life, vary, tag, data: Scripted(
        status,
        (("Cache-Control", life), *((("Vary", vary),) if vary else ()), ("ETag", tag)),
        (data,),
    ),
    st.sampled_from([200, 200, 200, 200, 404]),
    st.sampled_from([*("max-age=60", "max-age=60, immutable") * 3, "no-cache", "max-age=9"]),
    st.sampled_from(["", "", "Accept-Language", "Accept-Encoding", "User-Agent, Accept-Encoding", "*"]),
    st.sampled_from(['"1"', '"2"']),
    st.sampled_from([b"one", b"another"]),
)


async def told(response: Response) -> tuple[int, tuple[tuple[str, str], ...], bytes, str]:
    return response.status, response.headers.pairs, await content(response), response.outcome.cache.value


async def play(script: list[Any], scripted: list[Scripted]) -> int:
    house, found_count = steady(House()), 0
    house.upstream.answers("/a", *scripted)
    for what, how, pairs in [("ask", "GET", []), *script]:
        if what == "tick":
            house.now += how
        elif what == "purge":
            await house.store.purge(Purge(PurgeScope.ALL))
        else:
            for _ in range(3):
                asked = Request(how, "/a", Headers(pairs), authority="n.test", received_at=house.now)
                found = house.handler.at_once(asked)
                full = await told(await house.handler(asked))
                if found is not None:
                    assert await told(found) == full
                    found_count += 1
                await house.settle()
    await house.tasks.aclose()
    house.threads.shutdown()
    return found_count


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=8, max_size=12), st.lists(answers, min_size=1, max_size=4))
def test_what_is_found_at_once_is_what_the_whole_way_gives(
    script: list[Any], scripted: list[Scripted]
) -> None:
    asyncio.run(play(script, scripted))


@pytest.mark.parametrize("vary", ["", "Accept-Language", "User-Agent, Accept-Encoding"])
def test_each_field_by_itself_gets_what_the_whole_way_gives(vary: str) -> None:
    given = Scripted(fields=(("Cache-Control", "max-age=60"), ("Vary", vary), ("ETag", '"1"')))
    for name, values in FIELDS.items():
        for value in values:
            asyncio.run(play([("ask", "GET", [(name, value)]), ("ask", "GET", [])], [given]))


def test_the_property_is_tried_on_what_is_found() -> None:
    ask = ("ask", "GET", [("User-Agent", "a")])
    assert asyncio.run(play([ask, ask, ("tick", 2, None), ask], [Scripted()])) >= 3


def test_a_body_makes_a_request_of_another_kind() -> None:
    class Content:
        length = 3

    assert is_plain(request())
    assert not is_plain(replace(request(), body=Content()))  # type: ignore[arg-type]
