from __future__ import annotations

import pytest

from edgeproxy.message import Headers
from edgeproxy.sites.hub_facts import (
    NOBODY,
    Caller,
    Facts,
    Failed,
    HeldFile,
    Kind,
    Level,
    Limited,
    Refusal,
    SawAccess,
    SawFile,
    SawName,
    SawPage,
    SawRevision,
    WithoutAuthCheck,
    WithoutListings,
    kind_of,
)
from edgeproxy.sites.hub_names import Repo
from edgeproxy.sites.hub_tree import Entry, Page

REPO = Repo("models", "acme/tiny")
COMMIT = "a" * 40
ALICE = Caller("Bearer x", "alice")
NO = Refusal(404, "RepoNotFound", "Repository not found")


@pytest.fixture
def facts() -> Facts:
    return Facts(revision_ttl=60, access_ttl=300, entries_max=10)


def page(first: int, count: int, following: str = "") -> Page:
    return Page(tuple(Entry(f"f{n}", False, b"", n) for n in range(first, first + count)), following)


def test_a_branch_is_known_for_its_time_and_kept_after_it(facts: Facts) -> None:
    facts.learn(SawRevision(REPO, "main", COMMIT, at=100), 100)
    found = facts.revision(REPO, "main")
    assert found is not None
    assert (found.commit, found.until) == (COMMIT, 160)


def test_what_was_said_some_time_ago_is_asked_again_sooner(facts: Facts) -> None:
    facts.learn(SawRevision(REPO, "main", COMMIT, at=100), 150)
    facts.learn(SawRevision(REPO, "old", COMMIT, at=0), 150)
    found = [facts.revision(REPO, name) for name in ("main", "old")]
    assert [one.until for one in found if one] == [160, 151]


def test_what_the_store_says_stale_never_replaces_what_is_remembered(facts: Facts) -> None:
    facts.learn(SawRevision(REPO, "main", COMMIT, at=100), 100)
    facts.learn(SawRevision(REPO, "main", "b" * 40, at=200, is_stale=True), 200)
    facts.learn(SawAccess(REPO, "", Level.NOTHING, True, 100, refusal=NO), 100)
    facts.learn(SawAccess(REPO, "", Level.FILES, True, 200, is_stale=True), 200)
    revision, access = facts.revision(REPO, "main"), facts.access(REPO, NOBODY)
    assert revision is not None
    assert access is not None
    assert (revision.commit, revision.until) == (COMMIT, 210)
    assert (access.level, access.until) == (Level.NOTHING, 210)


def test_a_no_is_remembered_for_a_minute_at_most(facts: Facts) -> None:
    facts.learn((SawAccess(REPO, "alice", Level.NOTHING, True, 0, refusal=NO), SawName(REPO, REPO)), 0)
    found = facts.access(REPO, ALICE)
    assert found is not None
    assert found.until == 60
    assert facts.access(REPO, NOBODY) is None


def test_when_files_were_last_readable_outlives_a_question_without_answer(facts: Facts) -> None:
    facts.learn(SawAccess(REPO, "alice", Level.FILES, True, 10), 10)
    facts.learn(SawAccess(REPO, "alice", Level.LISTING, False, 400), 400)
    found = facts.access(REPO, ALICE)
    assert found is not None
    assert found.read_at == 10
    facts.learn(SawAccess(REPO, "alice", Level.LISTING, True, 400, refusal=NO), 400)
    refused = facts.access(REPO, ALICE)
    assert refused is not None
    assert refused.read_at == 0


def test_names_are_forgotten_when_the_hub_uses_the_old_one_again(facts: Facts) -> None:
    new = Repo("models", "acme/new")
    facts.learn(SawName(REPO, new), 0)
    assert facts.canonical(REPO) == new
    facts.learn(SawName(REPO, REPO), 0)
    assert facts.canonical(REPO) == REPO


def test_pages_are_taken_in_their_order_and_once(facts: Facts) -> None:
    first, second = page(0, 2, "c1"), page(2, 2)
    for asked, one in (("", first), ("", first), ("c1", second), ("c1", second), ("", first)):
        facts.learn(SawPage("q", REPO, COMMIT, asked, one), 0)
    found = facts.listing(REPO, COMMIT)
    assert found is not None
    assert (len(found), found.is_complete) == (4, True)
    assert facts.failure("q", 0) is None


def test_a_listing_that_contradicts_itself_is_forgotten_and_its_inquiry_failed(facts: Facts) -> None:
    facts.learn(SawPage("q", REPO, COMMIT, "", page(0, 2, "c1")), 0)
    facts.learn(SawPage("q", REPO, COMMIT, "c1", page(1, 2)), 0)
    assert facts.listing(REPO, COMMIT) is None
    failed = facts.failure("q", 0.5)
    assert failed is not None
    assert failed.status == 502
    assert facts.failure("q", 1.5) is None


def test_entries_are_bounded_in_all_and_the_oldest_listing_goes_first(facts: Facts) -> None:
    commits = [letter * 40 for letter in "abc"]
    for commit in commits[:2]:
        facts.learn(SawPage("q", REPO, commit, "", page(0, 5)), 0)
    facts.listing(REPO, commits[0])  # used again
    facts.learn(SawPage("q", REPO, commits[2], "", page(0, 5)), 0)
    assert [facts.listing(REPO, commit) is not None for commit in commits] == [True, False, True]


def test_a_listing_longer_than_the_table_is_held_alone(facts: Facts) -> None:
    facts.learn(SawPage("q", REPO, COMMIT, "", page(0, 50)), 0)
    found = facts.listing(REPO, COMMIT)
    assert found is not None
    assert len(found) == 50


def test_the_hubs_wish_to_be_left_alone_ends(facts: Facts) -> None:
    facts.learn(Limited(5, Headers((("RateLimit-Policy", "p"), ("RateLimit", '"api";r=0;t=5')))), 100)
    api = (Kind.API, NOBODY)
    assert [facts.wait(now, *api) for now in (100, 104, 105)] == [5, 1, 0]
    assert facts.wait(100, Kind.FILES, NOBODY) == facts.wait(100, Kind.API, ALICE) == 0
    fields = facts.limit_fields(102.5, *api)
    assert (fields.get("Retry-After"), fields.get("RateLimit-Policy")) == ("3", "p")
    facts.learn(Limited(1e9), 100)
    assert facts.wait(100, *api) == 900


def test_single_files_and_what_a_hub_lacks_are_remembered(facts: Facts) -> None:
    held = HeldFile(None)
    facts.learn((SawFile(REPO, COMMIT, "x", held), WithoutListings(REPO, COMMIT), WithoutAuthCheck()), 0)
    assert facts.file(REPO, COMMIT, "x") == held
    assert facts.is_unlisted(REPO, COMMIT)
    assert (facts.has_auth_check(1), facts.has_auth_check(3601)) == (False, True)


def test_what_is_not_for_the_tables_is_ignored(facts: Facts) -> None:
    facts.learn(None, 0)
    facts.learn((Failed("q", "m"), "other"), 0)
    assert facts.failure("q", 0) == Failed("q", "m")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/api/models/acme/tiny/tree/main", Kind.API),
        ("/api/whoami-v2", Kind.API),
        ("/api/resolve-cache/models/acme/tiny/x/f", Kind.FILES),
        ("/acme/tiny/resolve/main/f", Kind.FILES),
        ("/datasets/acme/tiny/raw/main/f", Kind.FILES),
        ("/acme/tiny/info/refs", Kind.PAGES),
        ("/v2/acme/tiny/manifests/latest", Kind.PAGES),
    ],
)
def test_the_hub_counts_apart(target: str, kind: Kind) -> None:
    assert kind_of(target) is kind


def test_an_older_word_about_access_does_not_replace_a_later_one(facts: Facts) -> None:
    facts.learn(SawAccess(REPO, "", Level.NOTHING, True, 100), 100)
    facts.learn(SawAccess(REPO, "", Level.FILES, True, 90), 101)
    found = facts.access(REPO, NOBODY)
    assert found is not None
    assert (found.level, found.at) == (Level.NOTHING, 100)
    assert found.until > 101, "or the same would be asked for ever"
