from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgeproxy.message import Headers
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.policy.validation import after_head, conditions, freshen, is_about

Store = Callable[..., StoredResponse]
Date = Callable[[float], str]

FRESH = ("Cache-Control", "max-age=60")


def test_both_validators_are_sent_as_they_came(store: Store, date: Date) -> None:
    stored = store(FRESH, ("ETag", 'W/"a"'), ("Last-Modified", date(-500)))
    assert conditions(stored) == Headers([("If-None-Match", 'W/"a"'), ("If-Modified-Since", date(-500))])
    assert conditions(store(FRESH, ("Last-Modified", "yesterday"))) == Headers()


def test_a_304_about_something_else_is_recognised(store: Store, date: Date) -> None:
    stored = store(FRESH, ("ETag", '"a"'), ("Last-Modified", date(-500)))
    assert is_about(stored, Headers())
    assert is_about(stored, Headers([("ETag", 'W/"a"')]))
    assert not is_about(stored, Headers([("ETag", '"b"')]))
    assert not is_about(stored, Headers([("Last-Modified", date(-5))]))


def test_a_304_replaces_fields_but_not_those_of_the_bytes(store: Store, now: float, date: Date) -> None:
    stored = store(
        FRESH, ("A", "1"), ("A", "2"), ("B", "3"), ("Content-Encoding", "gzip"), ("ETag", '"a"'), ("Age", "9")
    )
    stored = msgspec.structs.replace(
        stored, body="id", body_bytes=10, digest="d", sequence=7, missing_since=5.0, tags=("t",)
    )
    answer = Headers(
        [
            ("a", "9"),
            ("Content-Length", "0"),
            ("Content-Encoding", "br"),
            ("Date", date(100)),
            ("Cache-Control", "max-age=500"),
            ("Set-Cookie", "sid=0123456789"),
        ]
    )
    fresh = freshen(stored, answer, Rules(), now + 100, now + 100)
    assert fresh.headers.all("A") == ("9",)
    assert fresh.headers.get("B") == "3"
    assert fresh.headers.get("Content-Encoding") == "gzip"
    assert "Set-Cookie" not in fresh.headers
    assert "Content-Length" not in fresh.headers
    assert (fresh.born, fresh.fresh_until) == (now + 100, now + 600)
    assert (fresh.body, fresh.body_bytes, fresh.digest, fresh.sequence) == ("id", 10, "d", 7)
    assert (fresh.missing_since, fresh.tags) == (0, ("t",))


def test_a_304_without_date_counts_from_its_arrival(store: Store, now: float, date: Date) -> None:
    stored = store(FRESH, ("Date", date(0)))
    fresh = freshen(stored, Headers(), Rules(), now + 1000, now + 1000)
    assert fresh.fresh_until == now + 1060


def test_a_304_that_withdraws_permission_forces_validation_at_each_use(store: Store, now: float) -> None:
    stored = store(("Cache-Control", "max-age=60, stale-while-revalidate=600"), ("ETag", '"a"'))
    for pair in (
        ("Cache-Control", "private, max-age=60"),
        ("Cache-Control", "no-store"),
        ("Vary", "*"),
        ("Vary", "Cookie"),
    ):
        fresh = freshen(stored, Headers([pair]), Rules(stale_if_error=99), now, now)
        assert fresh.no_cache
        assert fresh.must_revalidate
        assert fresh.fresh_until <= now
        assert (fresh.stale_while_revalidate_until, fresh.stale_if_error_until) == (0, 0)


def test_a_head_freshens_what_it_describes_and_nothing_else(store: Store, now: float, date: Date) -> None:
    stored = msgspec.structs.replace(
        store(FRESH, ("ETag", '"a"'), ("Last-Modified", date(-9)), ("T", "1")), body_bytes=10
    )
    fresh = after_head(
        stored, Headers([("Cache-Control", "max-age=9"), ("T", "2"), ("Content-Length", "10")]), Rules(), now
    )
    assert fresh is not None
    assert (fresh.fresh_until, fresh.headers.get("T"), fresh.body_bytes) == (now + 9, "2", 10)
    for pair in (("ETag", '"b"'), ("Last-Modified", date(0)), ("Content-Length", "11")):
        assert after_head(stored, Headers([pair]), Rules(), now) is None
