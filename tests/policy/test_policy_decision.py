from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from edgeproxy.errors import RequestError
from edgeproxy.message import ForwardReason, Headers, Request
from edgeproxy.policy.decision import (
    After,
    Before,
    Bypass,
    Freshen,
    Hit,
    Miss,
    PassThrough,
    Refuse,
    Revalidate,
    ServeStale,
    Stale,
    Store,
    after,
    after_failure,
    before,
    is_collapsible,
    shareable,
)
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse

Get = Callable[..., Request]
Keep = Callable[..., StoredResponse]

PLAIN = "max-age=100"


@pytest.mark.parametrize(
    ("stored_says", "asked", "at", "expected"),
    [
        (PLAIN, "", 0, Hit),
        (PLAIN, "", 99, Hit),
        (PLAIN, "", 100, Revalidate),
        (PLAIN, "no-cache", 1, Revalidate),
        (PLAIN, "max-age=0", 0, Revalidate),
        (PLAIN, "max-age=10", 10, Hit),
        (PLAIN, "max-age=10", 11, Revalidate),
        (PLAIN, "max-age=x", 1, Revalidate),
        (PLAIN, "min-fresh=50", 50, Hit),
        (PLAIN, "min-fresh=50", 51, Revalidate),
        (PLAIN, "max-stale=10", 110, Stale),
        (PLAIN, "max-stale=10", 111, Revalidate),
        (PLAIN, "max-stale", 10_000, Stale),
        (PLAIN, "max-stale, no-cache", 110, Revalidate),
        (PLAIN, "no-store", 1, Bypass),
        (PLAIN, "only-if-cached", 1, Hit),
        (PLAIN, "only-if-cached", 200, Refuse),
        (PLAIN, "only-if-cached, max-stale", 200, Stale),
        ("max-age=100, must-revalidate", "max-stale", 110, Revalidate),
        ("max-age=100, proxy-revalidate", "max-stale", 110, Revalidate),
        ("s-maxage=100", "max-stale", 110, Revalidate),
        ("max-age=100, no-cache", "", 1, Revalidate),
        ("max-age=100, no-cache", "max-stale", 1, Revalidate),
        ("max-age=100, immutable", "no-cache", 1, Hit),
        ("max-age=100, immutable", "no-cache", 101, Revalidate),
        ("max-age=100, stale-while-revalidate=50", "", 149, Stale),
        ("max-age=100, stale-while-revalidate=50", "", 150, Revalidate),
        ("max-age=100, stale-while-revalidate=50", "no-cache", 120, Revalidate),
        ("max-age=100, stale-while-revalidate=50, must-revalidate", "", 120, Revalidate),
    ],
)
def test_a_look_up_compares_times_and_wishes(
    get: Get, store: Keep, now: float, stored_says: str, asked: str, at: float, expected: type[Before]
) -> None:
    stored = store(("Cache-Control", stored_says), ("ETag", '"a"'))
    request = get(Cache_Control=asked) if asked else get()
    assert isinstance(before(request, [stored], Rules(), now + at), expected)


def test_reasons_for_going_forward(get: Get, store: Keep, now: float) -> None:
    assert before(get("POST"), [], Rules(), now) == Bypass(
        ForwardReason.METHOD, "POST is not answered from store"
    )
    assert before(get(), [], Rules(), now) == Miss(ForwardReason.URI_MISS, "")
    stored = store(("Cache-Control", PLAIN), ("Vary", "Foo"), ("ETag", '"a"'))
    missed = before(get(Foo="1"), [stored], Rules(), now)
    assert isinstance(missed, Miss)
    assert missed.reason is ForwardReason.VARY_MISS
    stale = before(get(), [stored], Rules(), now + 200)
    assert isinstance(stale, Revalidate)
    assert (stale.reason, stale.conditions) == (ForwardReason.STALE, Headers([("If-None-Match", '"a"')]))
    forced = before(get(Pragma="no-cache"), [stored], Rules(), now)
    assert isinstance(forced, Revalidate)
    assert forced.reason is ForwardReason.REQUEST


def test_head_is_answered_from_a_stored_get(get: Get, store: Keep, now: float) -> None:
    assert isinstance(before(get("HEAD"), [store(("Cache-Control", PLAIN))], Rules(), now), Hit)


def test_only_stale_while_revalidate_starts_a_revalidation(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", "max-age=1, stale-while-revalidate=50"))
    found = before(get(), [stored], Rules(), now + 5)
    assert found == Stale(stored, -4, True, "stale-while-revalidate")
    allowed = before(get(Cache_Control="max-stale"), [stored], Rules(), now + 5)
    assert isinstance(allowed, Stale)
    assert not allowed.revalidate


def test_a_soft_purge_needs_validation_unless_a_stale_window_is_allowed(
    get: Get, store: Keep, now: float
) -> None:
    purged = msgspec.structs.replace(store(("Cache-Control", PLAIN)), fresh_until=0.0)
    assert isinstance(before(get(), [purged], Rules(), now), Revalidate)


def test_offline_serves_whatever_is_stored_and_asks_nobody(get: Get, store: Keep, now: float) -> None:
    rules = Rules(offline=True, unavailable_status=503)
    stored = store(("Cache-Control", "max-age=1, no-cache, must-revalidate"), ("ETag", '"a"'))
    for asked in (get(), get(Cache_Control="no-store"), get(Cache_Control="no-cache"), get("HEAD")):
        assert before(asked, [stored], rules, now + 9999) == Stale(stored, -9998, False, "offline")
    refused = before(get(), [], rules, now)
    assert isinstance(refused, Refuse)
    assert refused.status == 503


def test_rules_bound_what_clients_may_force(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", PLAIN))
    forced = get(Cache_Control="no-cache")
    assert isinstance(before(forced, [stored], Rules(revalidate_floor=5), now + 4), Hit)
    assert isinstance(before(forced, [stored], Rules(revalidate_floor=5), now + 6), Revalidate)
    assert isinstance(before(forced, [stored], Rules(honour_request_directives=False), now), Hit)


def test_a_smuggling_connection_field_is_refused(get: Get, now: float) -> None:
    with pytest.raises(RequestError):
        before(get(Connection="Cookie"), [], Rules(), now)


def then(
    request: Request,
    status: int,
    stored: StoredResponse | None,
    now: float,
    rules: Rules | None = None,
    **fields: str,
) -> After:
    headers = Headers((name.replace("_", "-"), value) for name, value in fields.items())
    return after(request, status, headers, stored, rules or Rules(), now, now, "http://o.example/a", "s")


def test_a_storable_answer_is_stored_and_another_passed(get: Get, now: float) -> None:
    kept = then(get(Foo="1"), 200, None, now, Cache_Control=PLAIN, Vary="foo", Surrogate_Key="t")
    assert isinstance(kept, Store)
    assert (kept.stored.selecting, kept.stored.tags, kept.stored.key) == (
        (("foo", "1"),),
        ("t",),
        "http://o.example/a",
    )
    assert then(get(), 200, None, now, Cache_Control="private") == PassThrough("private")


def test_a_304_freshens_only_what_was_asked_about(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", PLAIN), ("ETag", '"a"'))
    fresh = then(get(), 304, stored, now + 500)
    assert isinstance(fresh, Freshen)
    assert fresh.stored.fresh_until == now + 600
    for answer in (then(get(), 304, stored, now, ETag='"b"'), then(get(), 304, None, now)):
        assert isinstance(answer, PassThrough)
        assert answer.refetch


def test_an_error_never_replaces_a_stored_answer(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", PLAIN))
    assert then(get(), 503, stored, now + 200, Cache_Control=PLAIN) == PassThrough("upstream said 503")
    assert isinstance(then(get(), 503, None, now, Cache_Control=PLAIN), Store)
    assert isinstance(then(get(), 503, stored, now + 50), ServeStale)


def test_stale_if_error_is_for_response_request_or_rule_to_allow(get: Get, store: Keep, now: float) -> None:
    windowed = store(("Cache-Control", "max-age=10, stale-if-error=20"))
    plain = store(("Cache-Control", "max-age=10"))
    strict = store(("Cache-Control", "max-age=10, stale-if-error=20, must-revalidate"))
    ruled = store(("Cache-Control", "max-age=10"), rules=Rules(stale_if_error=20))
    asked = get(Cache_Control="stale-if-error=20")
    assert isinstance(then(get(), 503, windowed, now + 29), ServeStale)
    assert isinstance(then(get(), 503, windowed, now + 30), PassThrough)
    assert isinstance(then(get(), 503, plain, now + 29), PassThrough)
    assert isinstance(then(asked, 503, plain, now + 29), ServeStale)
    assert isinstance(then(asked, 503, plain, now + 31), PassThrough)
    assert isinstance(then(asked, 503, strict, now + 15), PassThrough)
    assert isinstance(then(get(), 503, ruled, now + 29), ServeStale)


def test_a_missing_resource_is_believed_at_second_sight(get: Get, store: Keep, now: float) -> None:
    rules = Rules(second_look=60)
    stored = store(("Cache-Control", "max-age=10"))
    first = then(get(), 404, stored, now + 20, rules)
    assert isinstance(first, ServeStale)
    assert first.stored.missing_since == now + 20
    assert isinstance(then(get(), 404, first.stored, now + 79, rules), ServeStale)
    assert then(get(), 404, first.stored, now + 80, rules) == PassThrough("no freshness", invalidate=True)
    assert isinstance(then(get(), 404, stored, now + 20), PassThrough)
    fresh = then(get(), 304, first.stored, now + 30, rules)
    assert isinstance(fresh, Freshen)
    assert fresh.stored.missing_since == 0


def test_an_unstorable_success_supersedes_what_was_stored(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", PLAIN))
    answer = then(get(), 200, stored, now + 200, Cache_Control="no-store")
    assert answer == PassThrough("no-store", invalidate=True)


def test_an_answer_to_head_freshens_or_invalidates_but_never_fills(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", PLAIN), ("ETag", '"a"'))
    head = get("HEAD")
    assert isinstance(then(head, 200, None, now, Cache_Control=PLAIN), PassThrough)
    assert isinstance(then(head, 200, stored, now, ETag='"a"'), Freshen)
    other = then(head, 200, stored, now, ETag='"b"')
    assert isinstance(other, PassThrough)
    assert other.invalidate


@pytest.mark.parametrize(
    ("cache_control", "limit", "at", "served"),
    [
        ("max-age=2", None, 5000, True),
        ("max-age=2", 100, 102, True),
        ("max-age=2", 100, 103, False),
        ("max-age=2, stale-if-error=200", 100, 150, True),
        ("max-age=2, must-revalidate", None, 3, False),
        ("max-age=2, proxy-revalidate", None, 3, False),
        ("max-age=2, s-maxage=2", None, 3, False),
        ("max-age=2, no-cache", None, 1, False),
        ("max-age=2, must-revalidate", None, 1, True),
    ],
)
def test_without_any_answer_stale_is_served_unless_prohibited(
    get: Get, store: Keep, now: float, cache_control: str, limit: float | None, at: float, served: bool
) -> None:
    stored = store(("Cache-Control", cache_control), ("ETag", '"a"'))
    rules = Rules(stale_when_disconnected=limit)
    assert (after_failure(get(), stored, rules, now + at) is not None) is served
    assert after_failure(get(), None, rules, now) is None


def test_who_may_wait_for_the_fetch_of_another(get: Get) -> None:
    assert is_collapsible(get(Cookie="a=b"), Rules())
    for alone in (get("HEAD"), get("POST"), get(Authorization="x"), get(Cache_Control="no-store")):
        assert not is_collapsible(alone, Rules())


def test_who_may_share_what_another_fetched(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", PLAIN), ("Vary", "Foo"))
    assert shareable(get(), stored)
    assert not shareable(get(Foo="1"), stored)
    assert not shareable(get(Authorization="x"), stored)
    assert not shareable(dataclasses.replace(get(), received_at=now + 200), stored)
    assert not shareable(get(), store(("Cache-Control", "max-age=0"), ("ETag", '"a"')))
    assert not shareable(get(), store(("Cache-Control", "no-cache, max-age=9"), ("ETag", '"a"')))


def test_what_is_stored_is_served_while_upstream_asks_for_patience(get: Get, store: Keep, now: float) -> None:
    stored = store(("Cache-Control", "max-age=100, stale-if-error=100"))
    patient = Rules(stale_statuses=frozenset({429}))
    assert isinstance(then(get(), 429, stored, now + 150, patient), ServeStale)
    assert isinstance(then(get(), 429, stored, now + 150), PassThrough)
    assert isinstance(then(get(), 429, stored, now + 500, patient), PassThrough)
