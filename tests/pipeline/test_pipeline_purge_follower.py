from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pipeline_house import House, Scripted, ScriptedUpstream

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.pipeline import purge_follower
from edgeproxy.pipeline.children import PURGES_PATH
from edgeproxy.pipeline.parent_links import ParentLink
from edgeproxy.pipeline.purge_follower import FILE, PurgeFollower, Unfollowable
from edgeproxy.policy.surrogates import Position, position_of
from edgeproxy.storage.purge_feed import PurgeFeed
from edgeproxy.storage.store import Purge, PurgeScope
from edgeproxy.upstream.upstream import Origin, UpstreamRequest

PARENT = ParentLink("above", Origin("http", "parent.test", 80), token="secret")
SIBLING = ParentLink("above", PARENT.origin, token="secret", beside=True)


class Above:
    """A parent: a log, and how it answers who asks for it."""

    def __init__(self) -> None:
        self.feed = PurgeFeed("ab", 0)
        self.asked: list[str] = []
        self.trouble: Any = None

    def purge(self, *purges: Purge) -> None:
        self.feed.note(self.feed.position.number + 1, purges)

    async def fetch(self, request: UpstreamRequest) -> Scripted:
        assert request.target.startswith(PURGES_PATH)
        assert request.headers.get("Proxy-Authorization") == "Bearer secret"
        self.asked.append(request.target.removeprefix(PURGES_PATH))
        if isinstance(self.trouble, UpstreamError):
            raise self.trouble
        if self.trouble is not None:
            return self.trouble  # type: ignore[no-any-return]
        query = request.target.partition("?")[2]
        epoch, _, after = query.removeprefix("epoch=").partition("&after=")
        page = self.feed.after(Position(epoch, int(after)) if query else None)
        return Scripted(pieces=(msgspec.json.encode(page),))

    async def aclose(self) -> None:
        return None


class Kept(dict[str, bytes]):
    def read(self, name: str, limit: int) -> bytes:
        return self.get(name, b"")

    def replace(self, name: str, data: bytes) -> None:
        self[name] = data


def tag(value: str) -> Purge:
    return Purge(PurgeScope.TAG, value)


@pytest.fixture
def above() -> Above:
    return Above()


@pytest.fixture
def purged(house: House, monkeypatch: pytest.MonkeyPatch) -> list[Purge]:
    """What has been purged in the child's store."""
    made: list[Purge] = []

    async def purge(one: Purge) -> None:
        made.append(one)
        house.store.sequence += 1

    monkeypatch.setattr(house.store, "purge", purge)
    monkeypatch.setattr(purge_follower, "GAP_SECONDS", 0.0)
    return made


def follower(house: House, above: Above | ScriptedUpstream, link: ParentLink = PARENT) -> PurgeFollower:
    return PurgeFollower(
        [link],
        node="edge-1",
        upstream=above,
        purges=house.purges,
        tasks=house.tasks,
        metrics=house.metrics,
        report=house.reports.append,
    )


async def test_what_was_never_followed_is_a_gap_and_then_purges_come_one_by_one(
    house: House, above: Above, purged: list[Purge]
) -> None:
    above.purge(tag("old"))
    child = follower(house, above)
    assert await child.follow_once(PARENT)
    assert purged == [Purge(PurgeScope.ALL, soft=True)]
    above.purge(tag("a"))
    above.purge(Purge(PurgeScope.URL, "http://o/x for=1", soft=True))
    assert await child.follow_once(PARENT)
    assert await child.follow_once(PARENT)
    assert purged[1:] == [
        tag("a"),
        Purge(PurgeScope.URL, "http://o/x for=1", soft=True),
        Purge(PurgeScope.URL, "http://o/x", soft=True),
    ]


async def test_a_sibling_is_followed_from_where_it_begins_and_nobody_beside_is_told_what_was_missed(
    house: House, above: Above, purged: list[Purge]
) -> None:
    above.purge(tag("old"))
    child = follower(house, above, SIBLING)
    await child.follow_once(SIBLING)
    assert purged == [tag("old")]
    above.purge(tag("a"))
    await child.follow_once(SIBLING)
    assert purged == [tag("old"), tag("a")]
    above.feed = PurgeFeed("cd", 5)
    before = house.purges.position
    await child.follow_once(SIBLING)
    assert purged[2:] == [Purge(PurgeScope.ALL, soft=True)]
    assert [fed.below for fed in house.purges.after(before).purges] == [True]


async def test_who_asks_is_not_answered_before_its_own_purges_are_taken_over(
    house: House, above: Above, purged: list[Purge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_follower, "POLL_SECONDS", 3600.0)
    above.trouble = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
    child = follower(house, above, SIBLING)
    await child.start(None)
    await until(lambda: len(above.asked) == 1)
    above.trouble = None
    above.purge(tag("first"))
    assert await child.has_followed(above.feed.position), "it was not found out whose log that is"
    assert purged == [tag("first")]
    above.purge(tag("a"))
    assert await child.has_followed(above.feed.position)
    assert purged == [tag("first"), tag("a")]
    above.trouble = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
    above.purge(tag("b"))
    monkeypatch.setattr(purge_follower, "PATIENCE_SECONDS", 0.05)
    assert not await child.has_followed(above.feed.position)
    asked = len(above.asked)
    assert not await child.has_followed(Position("ef", 1)), "nobody here has such a log"
    await until(lambda: len(above.asked) > asked)
    asked = len(above.asked)
    assert not await child.has_followed(Position("ef", 1))
    await asyncio.sleep(0.02)
    assert len(above.asked) == asked, "whoever names a log can make a node ask for it all the time"
    assert await follower(house, above).has_followed(Position("ef", 1)), "it has no siblings"


async def test_only_sites_of_the_parent_are_touched_by_what_concerns_everything(
    house: House, above: Above, purged: list[Purge]
) -> None:
    link = ParentLink("above", PARENT.origin, token="secret", sites=("one", "two"))
    child = follower(house, above, link)
    await child.follow_once(link)
    above.purge(Purge(PurgeScope.ALL))
    await child.follow_once(link)
    assert [(p.scope.value, p.value, p.soft) for p in purged] == [
        ("site", "one", True),
        ("site", "two", True),
        ("site", "one", False),
        ("site", "two", False),
    ]


async def test_more_than_a_page_is_asked_for_at_once(house: House, above: Above, purged: list[Purge]) -> None:
    child = follower(house, above)
    await child.follow_once(PARENT)
    for number in range(600):
        above.purge(tag(str(number)))
    await child.follow_once(PARENT)
    assert purged[1:] == [tag(str(number)) for number in range(600)]
    assert above.asked[1:] == [f"?epoch=ab&after={n}" for n in (0, 256, 512, 600)]


async def test_another_epoch_is_a_gap(house: House, above: Above, purged: list[Purge]) -> None:
    child = follower(house, above)
    await child.follow_once(PARENT)
    above.feed = PurgeFeed("cd", 5)
    await child.follow_once(PARENT)
    assert purged == [Purge(PurgeScope.ALL, soft=True)] * 2
    assert child.seen == {"above": Position("cd", 5)}


async def test_the_next_process_knows_what_has_been_followed(
    house: House, above: Above, purged: list[Purge]
) -> None:
    kept = Kept()
    first = follower(house, above)
    first._files = kept
    await first.follow_once(PARENT)
    above.purge(tag("a"))
    second = follower(house, above)
    await second.start(kept)
    await until(lambda: len(purged) == 2)
    assert purged == [Purge(PurgeScope.ALL, soft=True), tag("a")]
    assert FILE in kept


async def until(is_true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


async def test_an_answer_that_shows_more_purges_wakes(
    house: House, above: Above, purged: list[Purge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_follower, "POLL_SECONDS", 3600.0)
    child = follower(house, above)
    await child.start(None)
    await until(lambda: len(above.asked) == 1 and bool(child.seen))
    asked = len(above.asked)
    child.heard(PARENT, str(above.feed.position))
    child.heard(PARENT, "nonsense")
    await asyncio.sleep(0.05)
    assert len(above.asked) == asked  # nothing new in that
    above.purge(tag("a"))
    child.heard(PARENT, str(above.feed.position))
    await until(lambda: tag("a") in purged)
    above.feed = PurgeFeed("cd", 0)
    child.heard(PARENT, str(above.feed.position))
    await until(lambda: child.seen["above"].epoch == "cd")


async def test_a_node_that_follows_itself_stops(house: House, above: Above, purged: list[Purge]) -> None:
    above.feed = house.purges.feed
    child = follower(house, above)
    await child.start(None)
    await until(lambda: bool(house.reports))
    assert "itself" in house.reports[0]
    assert purged == []


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (UpstreamError(ProxyError.CONNECTION_REFUSED, "refused"), UpstreamError),
        (Scripted(503), UpstreamError),
        (Scripted(404), Unfollowable),
        (Scripted(407), Unfollowable),
        (Scripted(pieces=(b"<html>",)), Unfollowable),
        (Scripted(pieces=(b'{"epoch":"ab","number":-1,"complete":true}',)), Unfollowable),
        (Scripted(pieces=(b"x" * (1 << 20),) * 9), Unfollowable),
        (Scripted(pieces=(UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut"),)), UpstreamError),
    ],
    ids=["refused", "503", "404", "407", "html", "negative", "endless", "cut"],
)
async def test_a_parent_that_does_not_tell_changes_nothing(
    house: House, above: Above, purged: list[Purge], trouble: Any, error: type[Exception]
) -> None:
    child = follower(house, above)
    await child.follow_once(PARENT)
    above.trouble = trouble
    with pytest.raises(error):
        await child.follow_once(PARENT)
    above.trouble = None
    above.purge(tag("a"))
    await child.follow_once(PARENT)
    assert purged[1:] == [tag("a")]


async def test_trouble_is_told_once_and_asked_about_ever_more_rarely(
    house: House, above: Above, purged: list[Purge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_follower, "POLL_SECONDS", 0.01)
    above.trouble = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
    child = follower(house, above)
    await child.start(None)
    await until(lambda: len(above.asked) >= 4)
    assert [report for report in house.reports if "cannot be followed" in report] == house.reports
    assert len(house.reports) == 1
    above.trouble = None
    await until(lambda: bool(purged))
    assert position_of(str(child.seen["above"])) == above.feed.position
