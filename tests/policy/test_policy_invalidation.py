from __future__ import annotations

import pytest

from edgeproxy.message import Headers, Request
from edgeproxy.policy.invalidation import invalidated

KEY = "http://o.example:81/d/a?q"


def keys(method: str, status: int, *pairs: tuple[str, str], target: str = "/d/a?q") -> tuple[str, ...]:
    request = Request(method, target, authority="edge.example")
    return invalidated(request, KEY, status, Headers(pairs))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
def test_a_successful_unsafe_request_invalidates_its_url(method: str) -> None:
    assert keys(method, 200) == (KEY,)
    assert keys(method, 303) == (KEY,)
    assert keys(method, 500) == keys(method, 404) == ()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_request_invalidates_nothing(method: str) -> None:
    assert keys(method, 200, ("Location", "/b")) == ()


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("b", "http://o.example:81/d/b"),
        ("/b?x=1#frag", "http://o.example:81/b?x=1"),
        ("/b?", "http://o.example:81/b?"),
        ("http://O.example:81/b", "http://o.example:81/b"),
        ("http://edge.example/b", "http://o.example:81/b"),
        ("//o.example:81/b", "http://o.example:81/b"),
        ("http://o.example/b", None),
        ("https://o.example:81/b", None),
        ("http://other.example/b", None),
        ("http://[bad/b", None),
        ("http://o.example:99999999/b", None),
        ("/a\tb", None),
        ("", None),
    ],
)
def test_locations_on_the_same_origin_are_invalidated_as_well(reference: str, key: str | None) -> None:
    expected = (KEY,) if key is None else (KEY, key)
    assert keys("POST", 201, ("Location", reference)) == expected
    assert keys("POST", 201, ("Content-Location", reference), ("Location", reference)) == expected


def test_the_public_name_is_not_translated_where_a_mount_changes_the_path() -> None:
    assert keys("POST", 201, ("Location", "http://edge.example/b"), target="/mount/d/a?q") == (KEY,)
