"""Fields that change with time only by a number that counts seconds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.message import Headers
from edgeproxy.policy.timed_fields import TimedFields, timed


def fields(now: float, born: float, until: float) -> Headers:
    """What an answer would say at `now`."""
    return Headers(
        (
            ("Age", str(int(max(0.0, now - born)))),
            ("Cache-Control", f"max-age={max(0, int(until - now))}"),
            ("Expires", "0"),
            ("Cache-Status", f"one; hit; ttl=9, two; hit; ttl={int(until - now)}"),
        )
    )


@given(
    born=st.floats(0, 2e9),
    lifetime=st.floats(1, 1e7),
    told=st.floats(0, 0.999),
    asked=st.floats(0, 0.999),
)
def test_at_any_time_while_fresh_they_are_what_they_would_be(
    born: float, lifetime: float, told: float, asked: float
) -> None:
    until = born + lifetime
    at, now = born + told * lifetime, born + asked * lifetime
    left = ("cache-control", "cache-status")
    made = timed(fields(at, born, until), born=born, fresh_until=until, left=left)
    assert made.fields(now) == fields(now, born, until)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=TimedFields)
    assert again.fields(now) == fields(now, born, until)


@pytest.mark.parametrize(
    "pair",
    [
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", "no-cache"),
        ("Cache-Status", "x; hit"),
        ("Age", "x1"),
    ],
)
def test_what_is_not_said_to_count_stays_as_it_is(pair: tuple[str, str]) -> None:
    made = timed(Headers((pair,)), born=0.0, fresh_until=100.0, left=("cache-status",))
    assert made.fields(50.0) == Headers((pair,))


def test_fields_that_are_changed_on_the_way_count_on() -> None:
    made = timed(
        fields(10.0, 0.0, 100.0), born=0.0, fresh_until=100.0, left=("cache-control", "cache-status")
    )
    changed = made.changed(lambda headers: headers.without(("Age", "Expires")).adding((("X", "y"),)), 10.0)
    assert changed is not None
    assert changed.fields(20.0) == fields(20.0, 0.0, 100.0).without(("Age", "Expires")).adding((("X", "y"),))
    assert made.changed(lambda headers: headers.replacing({"Age": "7"}), 10.0) is None


def test_of_several_lines_the_last_counts() -> None:
    lines = Headers((("Cache-Status", "one; ttl=5"), ("Cache-Status", "two; ttl=90")))
    made = timed(lines, born=0.0, fresh_until=100.0, left=("cache-status",))
    assert made.fields(60.5).all("Cache-Status") == ("one; ttl=5", "two; ttl=39")
