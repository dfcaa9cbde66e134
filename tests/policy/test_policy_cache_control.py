from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import Headers
from edgeproxy.policy.cache_control import (
    LIFETIME_MAX,
    delta_seconds,
    governing,
    request_directives,
    response_directives,
)


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("max-age=3600", 3600),
        ("MaX-aGe=3600", 3600),
        ("foobar, max-age=3600", 3600),
        ("max-age=003600", 3600),
        ('max-age="3600"', 3600),
        ("max-age=2147483649", LIFETIME_MAX),
        ("max-age=" + "9" * 5000, LIFETIME_MAX),
        ("max-age=3600, s-maxage=1", 1),
        ("s-maxage=3600, max-age=1", 3600),
        ("max-age=1800, max-age=1", 1),
        ("max-age=1, max-age=1800", 1),
        ('extension="max-age=3600", max-age=1', 1),
        ('max-age=1, extension="max-age=3600"', 1),
        ('extension="a\\", max-age=5, \\"b", max-age=1', 1),
        ("max-age=-1", 0),
        ("max-age=1.0", 0),
        ("max-age='3600'", 0),
        ("max-age =3600", 0),
        ("max-age= 3600", 0),
        ("max-age=3600a", 0),
        ("max-age=nan", 0),
        ("max-age=inf", 0),
        ("max-age=+1", 0),
        ("max-age=1_0", 0),
        ("max-age=\u00b2", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("s-maxage=x, max-age=10", 0),
        ("public", None),
        ("", None),
    ],
)
def test_lifetimes_are_clamped_and_what_cannot_be_read_is_zero(text: str, lifetime: float | None) -> None:
    assert response_directives(text).lifetime == lifetime


@given(st.text(max_size=24))
@settings(max_examples=200)
def test_only_ascii_digits_are_seconds(text: str) -> None:
    found = delta_seconds(text)
    assert (found is not None) == (re.fullmatch(r"[0-9]+", text) is not None)
    assert found is None or 0 <= found <= LIFETIME_MAX


@pytest.mark.parametrize(
    ("text", "private", "withheld"),
    [
        ("private", True, set()),
        ("PRIVATE, max-age=1", True, set()),
        ('private="a, B"', False, {"a", "b"}),
        ('private="set-cookie", no-cache="x"', False, {"set-cookie", "x"}),
        ('private="a", private', True, set()),
        ("private=a", True, set()),
        ('private=""', True, set()),
        ('private="a b"', True, set()),
        ('x="private"', False, set()),
    ],
)
def test_private_withholds_fields_or_everything(text: str, private: bool, withheld: set[str]) -> None:
    directives = response_directives(text)
    assert (directives.private, set(directives.withheld)) == (private, withheld)


def test_a_quote_without_end_lets_nothing_restrictive_hide_and_nothing_be_reused() -> None:
    directives = response_directives('max-age=60, x="y, no-store, private')
    assert directives.no_store
    assert directives.private
    assert directives.no_cache


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
@settings(max_examples=200)
def test_no_text_makes_it_raise_and_plain_no_store_is_always_seen(text: str) -> None:
    response_directives(text)
    assert response_directives(f"no-store, {text}").no_store


def governs(cdn: str, plain: str) -> tuple[float | None, bool]:
    headers = Headers([("CDN-Cache-Control", cdn), ("Cache-Control", plain)])
    directives = governing(headers, ("CDN-Cache-Control",))
    return directives.lifetime, directives.no_store


@pytest.mark.parametrize(
    ("cdn", "plain", "expected"),
    [
        ("max-age=10", "no-store", (10, False)),
        ("no-store", "max-age=10", (None, True)),
        ("max-age=10, &&&", "no-store", (None, True)),
        ('max-age="10"', "no-store", (None, True)),
        ("max-age=1.5", "no-store", (None, True)),
        ("", "no-store", (None, True)),
        ("max-age =10", "max-age=1", (1, False)),
        ("max-age=-10", "max-age=1", (0, False)),
        ("max-age=99999999999", "no-store", (LIFETIME_MAX, False)),
        ("no-store=?0, max-age=5", "max-age=1", (5, False)),
    ],
)
def test_a_valid_targeted_field_alone_counts_and_an_invalid_one_does_not_exist(
    cdn: str, plain: str, expected: tuple[float | None, bool]
) -> None:
    assert governs(cdn, plain) == expected


def test_the_first_targeted_field_present_wins() -> None:
    headers = Headers([("B", "max-age=2"), ("A", "max-age=1")])
    assert governing(headers, ("A", "B")).lifetime == 1


def test_pragma_counts_only_without_cache_control() -> None:
    assert request_directives(Headers([("Pragma", "no-cache")])).no_cache
    assert not request_directives(Headers([("Pragma", "foo")])).no_cache
    assert not request_directives(Headers([("Pragma", "no-cache"), ("Cache-Control", "x")])).no_cache


def test_wishes_of_a_request() -> None:
    wishes = request_directives(
        Headers([("Cache-Control", "max-age=x, min-fresh=5, max-stale"), ("Cache-Control", "only-if-cached")])
    )
    assert (wishes.max_age, wishes.min_fresh, wishes.max_stale) == (0, 5, float("inf"))
    assert wishes.only_if_cached
    assert request_directives(Headers([("Cache-Control", "max-stale=x")])).max_stale == 0
