from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.surrogates import Position
from edgeproxy.storage import purge_feed
from edgeproxy.storage.purge_feed import FedPurge, FeedPage, PurgeFeed, due, taken_over, told_below
from edgeproxy.storage.store import Purge, PurgeScope

TAG = Purge(PurgeScope.TAG, "t")
HERE = PurgeFeed("0a", 0)


def feed_of(*values: str, start: int = 10) -> PurgeFeed:
    feed = PurgeFeed("fe", start)
    for number, value in enumerate(values, start + 1):
        feed.note(number, [Purge(PurgeScope.TAG, value)])
    return feed


def told(page: FeedPage) -> list[str]:
    return [fed.value for fed in page.purges]


@pytest.mark.parametrize(
    ("seen", "complete", "values"),
    [
        (None, False, []),
        (Position("ff", 11), False, []),
        (Position("fe", 9), False, []),  # before the log begins
        (Position("fe", 13), False, []),  # after its end: not this log
        (Position("fe", 10), True, ["a", "b"]),
        (Position("fe", 11), True, ["b"]),
        (Position("fe", 12), True, []),
    ],
)
def test_who_knows_a_place_is_told_what_came_after_it(
    seen: Position | None, complete: bool, values: list[str]
) -> None:
    page = feed_of("a", "b").after(seen)
    assert (page.complete, told(page), page.number) == (complete, values, 12)


def test_what_does_not_fit_is_a_gap_for_those_who_have_not_seen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_feed, "PURGES_MAX", 2)
    feed = feed_of("a", "b", "c")
    assert not feed.after(Position("fe", 10)).complete
    assert told(feed.after(Position("fe", 11))) == ["b", "c"]
    assert not feed.knows("fe-11-0")
    assert feed.knows("fe-13-0")


def test_the_values_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_feed, "BYTES_MAX", 5)
    assert told(feed_of("aaa", "bb", "c").after(Position("fe", 11))) == ["bb", "c"]


@pytest.mark.parametrize(
    "purges",
    [
        [Purge(PurgeScope.SITE, "local name")],
        [Purge(PurgeScope.TAG, "x" * (purge_feed.VALUE_LENGTH_MAX + 1))],
        [TAG] * (purge_feed.PAGE_MAX + 1),
    ],
    ids=["site", "long", "many"],
)
def test_what_cannot_be_told_is_a_gap(purges: list[Purge]) -> None:
    feed = feed_of("a")
    feed.note(12, purges)
    assert not feed.after(Position("fe", 11)).complete
    assert feed.after(Position("fe", 12)).complete


@given(st.lists(st.integers(1, 4), max_size=12), st.integers(4, 6), st.integers(0, 12))
@settings(max_examples=200)
def test_pages_one_after_another_tell_everything_once(counts: list[int], page_max: int, seen: int) -> None:
    """A purge may be several to others; its number is never told in half."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(purge_feed, "PAGE_MAX", page_max)
        feed = PurgeFeed("fe", 0)
        for number, count in enumerate(counts, 1):
            feed.note(number, [Purge(PurgeScope.TAG, f"{number}.{at}") for at in range(count)])
        at = Position("fe", min(seen, len(counts)))
        wanted = [f"{n}.{i}" for n, c in enumerate(counts, 1) if n > at.number for i in range(c)]
        got: list[str] = []
        for _ in range(20):
            page = feed.after(at)
            assert page.complete
            got += told(page)
            at = Position(page.epoch, page.number)
            if not page.purges:
                break
        assert got == wanted


@pytest.mark.parametrize(
    ("page", "seen", "gap", "values"),
    [
        (feed_of("a", "b").after(Position("fe", 10)), Position("fe", 10), False, ["a", "b"]),
        (feed_of("a", "b").after(Position("fe", 10)), Position("fe", 11), False, ["b"]),
        (feed_of("a").after(Position("fe", 10)), None, True, []),
        (feed_of("a").after(None), Position("fe", 10), True, []),
        (feed_of("a").after(Position("fe", 10)), Position("ff", 10), True, []),
        (feed_of().after(Position("fe", 10)), Position("fe", 11), True, []),
    ],
)
def test_what_follows_for_a_child(
    page: FeedPage, seen: Position | None, gap: bool, values: list[str]
) -> None:
    found = due(page, seen, HERE)
    assert (found.is_gap, [fed.value for fed in found.purges]) == (gap, values)
    assert found.position == Position(page.epoch, page.number)


def test_a_node_that_hears_itself_does_not_follow() -> None:
    own = feed_of("a")
    assert due(own.after(Position("fe", 10)), Position("fe", 10), own).is_own


def test_what_has_been_here_before_is_not_purged_again() -> None:
    parent, own = feed_of("a", "b"), PurgeFeed("0b", 3)
    own.note(4, [Purge(PurgeScope.TAG, "a")], "fe-11-0")
    found = due(parent.after(Position("fe", 10)), Position("fe", 10), own)
    assert [fed.value for fed in found.purges] == ["b"]


def fed(id_: str, number: int = 2) -> FedPurge:
    return FedPurge(number=number, id=id_, scope=PurgeScope.TAG, value="t")


def test_ids_of_one_log_that_were_here_are_known_when_they_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purge_feed, "PURGES_MAX", 1)
    own = PurgeFeed("0b", 0)
    for number, id_ in enumerate(("fe-1-0", "fe-2-0", "fe-2-1", "cd-9-0"), 1):
        own.note(number, [TAG], id_)
    assert not own.knows("fe-2-1")
    beside = "cd"  # where they were not made
    assert [own.has_had(fed(id_), beside) for id_ in ("fe-1-0", "fe-2-1", "fe-2-2", "fe-3-0")] == [
        True,
        True,
        False,
        False,
    ]
    # Where it was made it is told once and in order: it may have been overtaken by what others have told.
    assert not own.has_had(fed("fe-1-0"), "fe")
    assert own.has_had(fed("0b-1-0"), beside), "what was made here comes back"
    for odd in ("x", "fe", "fe-x", "-", "fe-²"):
        assert not own.has_had(fed(odd), beside)


def test_two_logs_that_follow_each_other_come_to_rest_however_little_they_remember(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purge_feed, "PURGES_MAX", 8)
    monkeypatch.setattr(purge_feed, "PAGE_MAX", 4)
    feeds = {epoch: PurgeFeed(epoch, 0) for epoch in ("0a", "0b", "0c")}
    seen = {(here, there): Position(there, 0) for here in feeds for there in feeds if here != there}
    for number in range(1, 30):
        feeds["0a"].note(number, [Purge(PurgeScope.TAG, str(number))])
        if number % 7 == 0:
            exchanged(feeds, seen)
    for _ in range(20):
        exchanged(feeds, seen)
    ends = {epoch: feed.position.number for epoch, feed in feeds.items()}
    exchanged(feeds, seen)
    assert {epoch: feed.position.number for epoch, feed in feeds.items()} == ends, "purges go round"
    assert max(ends.values()) <= 29


def exchanged(feeds: dict[str, PurgeFeed], seen: dict[tuple[str, str], Position]) -> None:
    """Each node follows each other one by one page."""
    for here, there in seen:
        own = feeds[here]
        found = due(feeds[there].after(seen[here, there]), seen[here, there], own, beside=True)
        seen[here, there] = found.position
        for one in found.purges:
            if not own.knows(one.id):
                own.note(own.position.number + 1, taken_over(one), one.id)


@pytest.mark.parametrize(
    ("page", "seen", "gap", "values"),
    [
        (feed_of("a").after(Position("fe", 10)), Position("ff", 10), True, []),
        (feed_of("a", "b").after(Position("fe", 10)), Position("fe", 11), False, ["b"]),
    ],
)
def test_what_follows_for_a_sibling(
    page: FeedPage, seen: Position | None, gap: bool, values: list[str]
) -> None:
    found = due(page, seen, HERE, beside=True)
    assert (found.is_gap, [one.value for one in found.purges]) == (gap, values)


@pytest.mark.parametrize(("since", "begin"), [(10, 10), (None, 11), (99, 11)])
def test_a_sibling_is_followed_from_where_its_log_begins(since: int | None, begin: int) -> None:
    """Nothing has come from it before it was known."""
    page = FeedPage(epoch="fe", number=11, complete=False, since=since)
    found = due(page, None, HERE, beside=True)
    assert (found.is_gap, found.purges, found.position) == (False, (), Position("fe", begin))
    assert feed_of("a").after(None).since == 10


def test_what_is_for_nodes_below_is_nothing_to_those_beside() -> None:
    feed = feed_of()
    feed.note(11, [TAG], below=True)
    page = feed.after(Position("fe", 10))
    assert [one.value for one in due(page, Position("fe", 10), HERE).purges] == ["t"]
    assert due(page, Position("fe", 10), HERE, beside=True).purges == ()
    again = PurgeFeed.load(feed.dump(), 11, "99")
    assert again.after(Position("fe", 10)).purges == page.purges


def test_a_parent_cannot_name_sites_of_ours() -> None:
    told = FeedPage(
        epoch="fe", number=2, complete=True, purges=[FedPurge(number=2, id="x", scope=PurgeScope.SITE)]
    )
    assert due(told, Position("fe", 1), HERE).is_gap


def test_a_log_goes_on_where_the_process_before_has_left_it() -> None:
    kept = feed_of("a", "b").dump()
    again = PurgeFeed.load(kept, 12, "99")
    assert (again.epoch, told(again.after(Position("fe", 10)))) == ("fe", ["a", "b"])
    assert again.knows("fe-11-0")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"epoch":1}', feed_of("a").dump()])
def test_a_log_that_does_not_end_where_the_store_is_begins_anew(data: bytes) -> None:
    again = PurgeFeed.load(data, 12, "99")
    assert again.position == Position("99", 12)
    assert not again.after(Position("fe", 11)).complete


def test_a_page_is_read_strictly() -> None:
    page = feed_of("a").after(Position("fe", 10))
    data = msgspec.json.encode(page)
    assert msgspec.json.decode(data, type=FeedPage) == page
    for wrong in (b'"scope":"tug"', b'"scope":7'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(data.replace(b'"scope":"tag"', wrong), type=FeedPage)


def test_a_site_is_told_as_the_places_of_its_upstreams() -> None:
    site = Purge(PurgeScope.SITE, "s", soft=True)
    assert told_below(site, ["https://a/", "https://b/"]) == (
        Purge(PurgeScope.PREFIX, "https://a/", soft=True),
        Purge(PurgeScope.PREFIX, "https://b/", soft=True),
    )
    assert told_below(site, []) == (site,)
    assert told_below(TAG, ["https://a/"]) == (TAG,)


def test_of_a_cache_key_the_url_is_what_two_nodes_share() -> None:
    fed = FedPurge(number=1, id="x", scope=PurgeScope.URL, value="https://a/b for=0f")
    assert [purge.value for purge in taken_over(fed)] == ["https://a/b for=0f", "https://a/b"]
    assert taken_over(msgspec.structs.replace(fed, value="https://a/b")) == (
        Purge(PurgeScope.URL, "https://a/b"),
    )
