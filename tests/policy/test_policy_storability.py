from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeproxy.message import Headers, Request
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.storability import judge
from edgeproxy.policy.stored import StoredResponse

Get = Callable[..., Request]
Store = Callable[..., StoredResponse]

FRESH = ("Cache-Control", "max-age=60")


@pytest.mark.parametrize(
    ("status", "pairs", "reason"),
    [
        (200, [FRESH], ""),
        (200, [("Cache-Control", "no-store, max-age=60")], "no-store"),
        (200, [("Cache-Control", "max-age=60"), ("Cache-Control", "NO-STORE")], "no-store"),
        (200, [("Cache-Control", "private, max-age=60")], "private"),
        (200, [("Cache-Control", 'x="no-store, private", max-age=60')], ""),
        (200, [("Cache-Control", "max-age=60, no-store, must-understand")], ""),
        (599, [("Cache-Control", "max-age=60, no-store, must-understand")], "must-understand"),
        (599, [FRESH], ""),
        (200, [FRESH, ("Vary", "Foo, *")], "Vary: *"),
        (200, [FRESH, ("Vary", ""), ("Vary", "*")], "Vary: *"),
        (200, [FRESH, ("Vary", "not a name")], "Vary: *"),
        (206, [FRESH], "status 206 is not a whole answer"),
        (416, [FRESH], "status 416 concerns one request only"),
        (403, [FRESH], "status 403 concerns one request only"),
        (429, [FRESH], "status 429 concerns one request only"),
        (503, [], "status 503 without explicit freshness"),
        (400, [], "status 400 without explicit freshness"),
        (503, [FRESH], ""),
        (404, [], "no freshness"),
        (404, [("Cache-Control", "max-age=0"), ("ETag", '"a"')], "no freshness"),
        (200, [], "neither freshness nor validator"),
        (200, [("ETag", '"a"')], ""),
        (200, [("Cache-Control", "no-cache"), ("ETag", '"a"')], ""),
        (200, [("Cache-Control", "max-age=60, no-cache")], "neither freshness nor validator"),
    ],
)
def test_what_a_response_says_decides(
    get: Get, now: float, status: int, pairs: list[tuple[str, str]], reason: str
) -> None:
    assert judge(get(), status, Headers(pairs), Rules(), now).reason == reason


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], ""),
        ([("Cache-Control", "max-age=0")], ""),
        ([("Cache-Control", "no-cache")], "neither freshness nor validator"),
        ([("Cache-Control", "private")], "private"),
        ([("Cache-Control", "no-store")], "no-store"),
        ([("Set-Cookie", "sid=31d4d96e407aad42")], "Set-Cookie"),
        ([("Vary", "*")], "Vary: *"),
    ],
)
def test_force_store_keeps_what_says_nothing_and_overrides_no_refusal(
    get: Get, now: float, pairs: list[tuple[str, str]], reason: str
) -> None:
    assert judge(get(), 200, Headers(pairs), Rules(force_store=True), now).reason == reason
    assert judge(get(), 404, Headers(pairs), Rules(force_store=True), now).reason != ""


@pytest.mark.parametrize(
    ("cookie", "storable"),
    [
        ("sid=31d4d96e407aad42", False),
        ("a=b", True),
        ("consent=1; Path=/; SameSite=Lax", False),
        ("a=c; Path=/", True),
        ("a=b; HttpOnly", False),
        ("a=bc", False),
        ("user17=1", False),
        ("", False),
    ],
)
def test_a_cookie_that_could_identify_somebody_forbids_storing(
    get: Get, now: float, cookie: str, storable: bool
) -> None:
    assert judge(get(), 200, Headers([FRESH, ("Set-Cookie", cookie)]), Rules(), now).storable is storable
    both = Headers([FRESH, ("Set-Cookie", "a=b"), ("Set-Cookie", cookie)])
    assert judge(get(), 200, both, Rules(), now).storable is storable


def test_a_cookie_is_taken_off_only_by_rule_or_by_the_response(store: Store) -> None:
    cookie = ("Set-Cookie", "sid=31d4d96e407aad42")
    assert "Set-Cookie" not in store(FRESH, cookie, rules=Rules(strip_set_cookie=True)).headers
    withheld = ("Cache-Control", 'max-age=60, no-cache="set-cookie"')
    assert "Set-Cookie" not in store(withheld, cookie).headers
    assert store(FRESH, ("Set-Cookie", "a=b")).headers.get("Set-Cookie") == "a=b"


@pytest.mark.parametrize(
    ("cache_control", "storable"),
    [
        ("max-age=60", False),
        ("max-age=60, public", True),
        ("max-age=60, must-revalidate", True),
        ("s-maxage=60", True),
        ("max-age=60, proxy-revalidate", False),
        ('max-age=60, x="public"', False),
    ],
)
def test_an_answer_to_credentials_needs_explicit_permission(
    get: Get, now: float, cache_control: str, storable: bool
) -> None:
    request = get(Authorization="Bearer x")
    headers = Headers([("Cache-Control", cache_control)])
    assert judge(request, 200, headers, Rules(ttl=60, force_store=True), now).storable is storable


@pytest.mark.parametrize("pair", [("Cache-Control", "private"), ("Cache-Control", "no-store"), ("Vary", "*")])
def test_no_rule_makes_private_content_shareable(get: Get, now: float, pair: tuple[str, str]) -> None:
    rules = Rules(ttl=60, ttl_default=60, force_store=True, immutable=True)
    assert not judge(get(), 200, Headers([pair]), rules, now).storable


def test_a_request_may_forbid_storing(get: Get, now: float) -> None:
    request = get(Cache_Control="no-store")
    assert not judge(request, 200, Headers([FRESH]), Rules(), now).storable
    assert judge(request, 200, Headers([FRESH]), Rules(honour_request_directives=False), now).storable


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "get"])
def test_only_get_fills(get: Get, now: float, method: str) -> None:
    assert not judge(get(method), 200, Headers([FRESH]), Rules(), now).storable


def test_stored_fields_lack_hop_by_hop_withheld_age_and_length(store: Store, now: float) -> None:
    stored = store(
        ("Cache-Control", 'max-age=60, private="p"'),
        ("Connection", "a, b, cache-control"),
        ("A", "1"),
        ("b", "2"),
        ("C", "3"),
        ("P", "4"),
        ("Keep-Alive", "x"),
        ("Proxy-Authenticate", "x"),
        ("Age", "5"),
        ("Content-Length", "9"),
    )
    assert [name for name, _ in stored.fields] == ["Cache-Control", "C", "Date"]
    assert stored.born == now - 5
    assert stored.fresh_until == now + 55


def test_stale_windows_are_decided_when_storing(store: Store, now: float) -> None:
    stored = store(("Cache-Control", "max-age=10, stale-while-revalidate=20, stale-if-error=30"))
    assert stored.stale_while_revalidate_until == now + 30
    assert stored.stale_if_error_until == now + 40
    silent = store(FRESH, rules=Rules(stale_while_revalidate=5))
    assert silent.stale_while_revalidate_until == now + 65
    assert silent.stale_if_error_until == 0
    for forbidding in ("must-revalidate", "proxy-revalidate", "s-maxage=10"):
        strict = store(
            ("Cache-Control", f"max-age=10, stale-while-revalidate=20, stale-if-error=9, {forbidding}"),
            rules=Rules(stale_while_revalidate=5, stale_if_error=5),
        )
        assert strict.must_revalidate
        assert (strict.stale_while_revalidate_until, strict.stale_if_error_until) == (0, 0)
