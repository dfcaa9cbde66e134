from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import Headers, Request
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.policy.variant import normalised, select

Get = Callable[..., Request]
Store = Callable[..., StoredResponse]


def pick(request: Request, *variants: StoredResponse, rules: Rules | None = None) -> StoredResponse | None:
    return select(request.headers, variants, rules or Rules())


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"Foo": "1"}, {"Foo": "1"}, True),
        ({"Foo": "1"}, {"Foo": "2"}, False),
        ({}, {"Foo": "1"}, False),
        ({"Foo": "1"}, {}, False),
        ({}, {}, True),
        ({"Foo": "1,2"}, {"Foo": " 1 , 2 "}, True),
        ({"Foo": '"a, b"'}, {"Foo": '"a,b"'}, False),
        ({"Foo": "1", "Other": "x"}, {"Foo": "1", "Other": "y"}, True),
        ({"Foo": "a"}, {"Foo": "A"}, False),
    ],
)
def test_requests_select_by_the_fields_named_in_vary(
    get: Get, store: Store, first: dict[str, str], second: dict[str, str], same: bool
) -> None:
    stored = store(("Cache-Control", "max-age=60"), ("Vary", "foo"), request=get(**first))
    assert (pick(get(**second), stored) is not None) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("en, de", "de, en", True),
        ("en, de", " eN ,  De", True),
        ("en, de;q=0.5", "de;q=0.5,en;q=1.0", True),
        ("en, de", "en, de;q=0.9", False),
        ("en", "de", False),
    ],
)
def test_accept_language_is_compared_by_meaning(one: str, other: str, same: bool) -> None:
    found = [normalised("accept-language", Headers([("Accept-Language", text)])) for text in (one, other)]
    assert (found[0] == found[1]) is same


@pytest.mark.parametrize(
    ("text", "codings"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip, deflate", "gzip"),
        ("br;q=1.0, GZIP;q=0.8, *;q=0.1", "br, gzip"),
        ("gzip;q=0, br", "br"),
        ("*", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=nan", None),
        ("gzip;q=1e999", None),
    ],
)
def test_accept_encoding_is_reduced_to_codings_worth_a_variant(text: str | None, codings: str | None) -> None:
    headers = Headers() if text is None else Headers([("Accept-Encoding", text)])
    assert normalised("accept-encoding", headers) == codings


def test_a_stored_language_that_is_preferred_to_all_others_will_do(get: Get, store: Store) -> None:
    stored = store(
        ("Cache-Control", "max-age=60"),
        ("Vary", "Accept-Language"),
        ("Content-Language", "de"),
        request=get(Accept_Language="en, de"),
    )
    assert pick(get(Accept_Language="fr;q=0.5, de"), stored) is stored
    assert pick(get(Accept_Language="fr, de"), stored) is None
    assert pick(get(Accept_Language="fr, de;q=0.5"), stored) is None


def test_an_exact_variant_comes_before_the_newest(get: Get, store: Store, now: float) -> None:
    vary = (("Cache-Control", "max-age=60"), ("Vary", "Accept-Language"), ("Content-Language", "de"))
    exact = store(*vary, request=get(Accept_Language="de"))
    newer = msgspec.structs.replace(
        store(*vary, request=get(Accept_Language="en, de")), response_time=now + 5
    )
    assert pick(get(Accept_Language="de"), newer, exact) is exact
    again = msgspec.structs.replace(exact, response_time=now + 9)
    assert pick(get(Accept_Language="de"), exact, again) is again


def test_ignored_fields_do_not_select(get: Get, store: Store) -> None:
    vary = (("Cache-Control", "max-age=60"), ("Vary", "Cookie, Foo"))
    rules = Rules(vary_ignore=frozenset({"cookie"}))
    before_the_rule = store(*vary, request=get(Cookie="a=1", Foo="1"))
    assert pick(get(Foo="1"), before_the_rule) is None
    assert pick(get(Foo="1"), before_the_rule, rules=rules) is before_the_rule
    assert store(*vary, request=get(Foo="1"), rules=rules).selecting == (("foo", "1"),)


@given(st.sampled_from(["accept-language", "accept-encoding", "foo"]), st.text(max_size=40))
@settings(max_examples=200)
def test_normalising_never_raises_and_is_stable(name: str, text: str) -> None:
    once = normalised(name, Headers([(name, text)]))
    if once is not None:
        assert normalised(name, Headers([(name, once)])) == once
