import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from edgeproxy.admin.explain import explanation
from edgeproxy.message import ForwardReason, Headers, Response
from edgeproxy.policy.decision import Before, Bypass, Hit, Miss, Refuse, Revalidate, Stale
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Expected, Plan
from edgeproxy.storage.store import Listed
from edgeproxy.upstream.upstream import Origin

NOW = 1_000_000.0
PLAN = Plan(Origin("http", "127.0.0.1", 9000), "/a", Rules())
STORED = StoredResponse(
    key=PLAN.key,
    site="files",
    status=200,
    fields=(("Cache-Control", "max-age=60"), ("Set-Cookie", "secret=1")),
    born=NOW - 10,
    request_time=NOW - 10,
    response_time=NOW - 10,
    fresh_until=NOW + 50,
    stale_if_error_until=NOW + 150,
    body_bytes=5,
)


def told(
    decision: Before | None, plan: Plan | Response | None = PLAN, *stored: StoredResponse
) -> dict[str, Any]:
    content = explanation(
        site="files",
        method="GET",
        url="/files/a",
        plan=plan,
        variants=stored or (STORED,),
        decision=decision,
        now=NOW,
    )
    json.dumps(content)
    return content


@pytest.mark.parametrize(
    ("decision", "word", "why"),
    [
        (Hit(STORED, 50.0), "hit", "stored and fresh"),
        (
            Stale(STORED, -1.0, True, "within stale-while-revalidate"),
            "stale",
            "within stale-while-revalidate",
        ),
        (Revalidate(STORED, Headers(), ForwardReason.STALE, "stale"), "revalidate", "stale"),
        (Miss(ForwardReason.URI_MISS, "nothing stored"), "miss", "nothing stored"),
        (Bypass(ForwardReason.METHOD, "POST"), "bypass", "POST"),
        (Refuse(504, "only-if-cached"), "refuse", "only-if-cached"),
    ],
)
def test_every_decision_is_told_with_its_reason(decision: Before, word: str, why: str) -> None:
    content = told(decision)
    assert (content["decision"], content["why"]) == (word, why)
    assert content["key"] == "http://127.0.0.1:9000/a"


def test_the_arithmetic_of_freshness_is_shown() -> None:
    freshness = told(Hit(STORED, 50.0))["freshness"]
    assert freshness["arithmetic"] == "lifetime 60 s - age 10 s = 50 s: fresh"
    assert freshness["left_seconds"] == 50.0
    assert freshness["stale_if_error_seconds"] == 150.0


def test_the_chosen_variant_comes_first() -> None:
    other = msgspec.structs.replace(STORED, digest="ff", selecting=(("accept", "a"), ("authorization", "s")))
    content = told(Hit(other, 50.0), PLAN, STORED, other)
    assert [stored["digest"] for stored in content["stored"]] == ["ff", ""]
    assert content["stored"][0]["selecting"] == {"accept": "a"}


def test_secret_fields_are_not_shown() -> None:
    assert "secret" not in json.dumps(told(Hit(STORED, 50.0)))


def test_a_soft_purge_is_named() -> None:
    purged = msgspec.structs.replace(STORED, fresh_until=0.0)
    content = told(Revalidate(purged, Headers(), ForwardReason.STALE, "purged"), PLAN, purged)
    assert "soft purge" in content["freshness"]["arithmetic"]


def test_what_is_there_in_part_is_told() -> None:
    part = Listed("p", msgspec.structs.replace(STORED, body_bytes=1000), 10, False, 0.0)
    plan = replace(PLAN, expected=Expected("ab" * 32, 1000))
    content = explanation(site="s", method="GET", url="/a", plan=plan, parts=[part], now=STORED.born)
    assert content["expected"] == {"sha256": "ab" * 32, "size": 1000}
    assert content["in_part"][0]["held_bytes"] == 10
    assert content["in_part"][0]["is_fresh"]


def test_a_site_that_answers_itself_and_no_site_at_all() -> None:
    assert told(None, Response(308))["decision"] == "local"
    moved = told(None, Response(307, Headers((("Location", "/hf/x"), ("X-Error-Message", "moved")))))
    assert (moved["location"], moved["message"]) == ("/hf/x", "moved")
    assert told(None, None)["why"] == "no site is responsible for this URL"
