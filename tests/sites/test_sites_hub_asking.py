from __future__ import annotations

from typing import Any

import pytest
from hub_stage import COMMIT, SHA1, SHA256

from edgeproxy import config
from edgeproxy.message import Request, Response
from edgeproxy.sites.hub_asking import PAGES_MAX, Ask, Asking
from edgeproxy.sites.hub_facts import (
    NOBODY,
    Caller,
    Facts,
    Failed,
    HeldFile,
    Level,
    Refusal,
    SawAccess,
    SawFile,
    SawPage,
    SawRevision,
    WithoutListings,
)
from edgeproxy.sites.hub_names import File, Repo
from edgeproxy.sites.hub_questions import Questions
from edgeproxy.sites.hub_rules import hub_rules
from edgeproxy.sites.hub_settings import hub
from edgeproxy.sites.hub_tree import Entry, Page
from edgeproxy.sites.site import Inquiry, SiteContext

REPO = Repo("models", "acme/tiny")
FILE = File(REPO, "resolve", COMMIT, "x")
ALICE = Caller("Bearer a", "alice")
NO = Refusal(403, "GatedRepo", "no")
ENTRY = Entry("x", False, bytes.fromhex(SHA1), 3)


class House:
    def __init__(self, context: SiteContext, **options: Any) -> None:
        settings = config.Site(name="hf", kind="huggingface", endpoint="https://hub.example", **options)
        self.facts = Facts(60, 300)
        questions = Questions(hub(settings, context), hub_rules(settings, context), lambda _: None)
        self.asking = Asking(self.facts, questions, offline=settings.offline, access_grace=1000)

    def access(self, caller: Caller, now: float, need: Level = Level.FILES) -> Any:
        return self.asking.access(ask(caller, now), REPO, need, COMMIT, FILE)


def ask(caller: Caller = NOBODY, now: float = 0.0) -> Ask:
    return Ask(Request("GET", "/hf/x"), caller, now, is_api=False)


@pytest.fixture
def house(context: SiteContext) -> House:
    return House(context)


def target(inquiry: Any) -> str:
    assert isinstance(inquiry, Inquiry)
    return inquiry.plan.target


def test_everybody_is_asked_for_first_and_the_caller_only_where_that_is_not_enough(house: House) -> None:
    first = house.access(ALICE, 0)
    assert target(first) == "/api/models/acme/tiny"
    assert first.plan.fields["Authorization"] is None
    house.facts.learn(SawAccess(REPO, "", Level.NOTHING, True, 0, refusal=NO), 0)
    second = house.access(ALICE, 0)
    assert second.plan.fields["Authorization"] == "Bearer a"
    refused = house.access(NOBODY, 0)
    assert isinstance(refused, Response)
    assert refused.status == 403


def test_who_may_see_the_listing_is_asked_about_files_by_another_question(house: House) -> None:
    house.facts.learn(SawAccess(REPO, "", Level.LISTING, False, 0), 0)
    assert house.access(ALICE, 0, Level.LISTING) == NOBODY
    assert target(house.access(NOBODY, 0)) == "/api/models/acme/tiny/auth-check"
    house.facts.learn(SawAccess(REPO, "", Level.LISTING, True, 0, refusal=NO), 0)
    assert target(house.access(ALICE, 0)) == "/api/models/acme/tiny/auth-check"
    house.facts.learn(SawAccess(REPO, "alice", Level.FILES, True, 0), 0)
    assert house.access(ALICE, 0) == ALICE


def test_questions_that_failed_give_way_to_others_that_may_be_stored(house: House) -> None:
    asked = []
    while isinstance(found := house.access(NOBODY, 0), Inquiry):
        asked.append(target(found))
        house.facts.learn(Failed(found.id, "down"), 0)
    api = "/api/models/acme/tiny"
    assert asked == [api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"]
    assert found.status == 504
    assert isinstance(house.access(NOBODY, 2), Inquiry)


@pytest.mark.parametrize(("now", "allowed"), [(900, True), (1100, False)])
def test_a_tokens_permission_has_a_grace_and_everybodys_has_no_end(
    house: House, now: float, allowed: bool
) -> None:
    house.facts.learn(SawAccess(REPO, "", Level.NOTHING, True, 0, refusal=NO), 0)
    house.facts.learn(SawAccess(REPO, "alice", Level.FILES, True, 0), 0)
    while isinstance(found := house.access(ALICE, now), Inquiry):
        house.facts.learn(Failed(found.id, "down"), now)
    assert (found == ALICE) is allowed


def test_a_public_repository_stays_public_while_nobody_can_say_otherwise(house: House) -> None:
    house.facts.learn(SawAccess(REPO, "", Level.FILES, True, 0), 0)
    while isinstance(found := house.access(NOBODY, 1e9), Inquiry):
        house.facts.learn(Failed(found.id, "down"), 1e9)
    assert found == NOBODY


def test_a_commit_needs_no_question_unless_the_hub_denied_it(house: House) -> None:
    assert house.asking.commit(ask(), REPO, COMMIT, NOBODY) == COMMIT
    house.facts.learn(SawRevision(REPO, COMMIT, "", 0, refusal=NO), 0)
    refused = house.asking.commit(ask(), REPO, COMMIT, NOBODY)
    assert isinstance(refused, Response)
    assert house.asking.commit(ask(now=100), REPO, COMMIT, NOBODY) == COMMIT


def test_a_branch_whose_time_is_over_is_used_when_asking_fails(house: House) -> None:
    house.facts.learn(SawRevision(REPO, "main", COMMIT, 0), 0)
    question = house.asking.commit(ask(now=70), REPO, "main", NOBODY)
    assert isinstance(question, Inquiry)
    house.facts.learn(Failed(question.id, "down"), 70)
    assert house.asking.commit(ask(now=70), REPO, "main", NOBODY) == COMMIT


def test_a_file_on_the_first_pages_needs_no_more_of_them(house: House) -> None:
    assert target(house.asking.entry(ask(), FILE, NOBODY)).endswith("?recursive=true")
    house.facts.learn(SawPage("q", REPO, COMMIT, "", Page((ENTRY,), "cursor=1")), 0)
    assert house.asking.entry(ask(), FILE, NOBODY) == ENTRY
    other = File(REPO, "resolve", COMMIT, "y")
    assert target(house.asking.entry(ask(), other, NOBODY)).endswith("?cursor=1")


def test_where_there_are_no_listings_a_file_is_asked_for_by_itself(house: House) -> None:
    house.facts.learn(WithoutListings(REPO, COMMIT), 0)
    question = house.asking.entry(ask(), FILE, NOBODY)
    assert isinstance(question, Inquiry)
    assert (question.method, question.plan.redirects) == ("HEAD", frozenset())
    half = Entry("x", False, b"", -1, bytes.fromhex(SHA256))
    house.facts.learn(SawFile(REPO, COMMIT, "x", HeldFile(half, "/api/resolve-cache/x")), 0)
    assert target(house.asking.entry(ask(), FILE, NOBODY)) == "/api/resolve-cache/x"
    house.facts.learn(SawFile(REPO, COMMIT, "x", HeldFile(ENTRY)), 0)
    assert house.asking.entry(ask(), FILE, NOBODY) == ENTRY
    assert house.asking.listing(ask(), REPO, COMMIT, NOBODY) is None


def test_an_endless_listing_is_left_to_the_hub(house: House) -> None:
    for number in range(PAGES_MAX):
        following = f"c{number + 1}"
        asked = f"c{number}" if number else ""
        page = Page((Entry(f"f{number}", False, b"", 1),), following)
        house.facts.learn(SawPage("q", REPO, COMMIT, asked, page), 0)
    assert house.asking.listing(ask(), REPO, COMMIT, NOBODY) is None
    assert house.asking.known_listing(REPO, COMMIT) is None


def test_offline_only_the_store_is_asked_and_the_end_is_424(context: SiteContext) -> None:
    house = House(context, offline=True)
    while isinstance(found := house.access(NOBODY, 0), Inquiry):
        assert found.plan.rules.offline
        house.facts.learn(Failed(found.id, "offline"), 0)
    assert found.status == 424
