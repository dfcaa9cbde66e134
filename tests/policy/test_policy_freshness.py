from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeproxy.message import Headers
from edgeproxy.policy.cache_control import LIFETIME_MAX, governing
from edgeproxy.policy.freshness import age_value, born, lifetime
from edgeproxy.policy.rules import Rules

Date = Callable[[float], str]


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        ([], 0),
        (["abc"], 0),
        (["-7200"], 0),
        (["7200.0"], 0),
        (["\u00b2"], 0),
        (["7200"], 7200),
        (["2147483649"], 2147483648),
        (["9" * 4000], 2147483648),
        (["7200, 0"], 7200),
        (["0, 7200"], 0),
        (["7200", "0"], 7200),
        (["0", "7200"], 0),
        (["7200;foo=bar"], 7200),
    ],
)
def test_age_is_the_first_number_or_nothing(lines: list[str], age: float) -> None:
    assert age_value(Headers([("Age", line) for line in lines])) == age


def test_the_age_at_arrival_is_the_worse_of_date_and_age_with_delay(now: float, date: Date) -> None:
    assert born(Headers([("Date", date(-100))]), now, now) == now - 100
    assert born(Headers([("Date", date(-100)), ("Age", "200")]), now - 5, now) == now - 205
    assert born(Headers([("Date", date(500))]), now - 5, now) == now - 5
    assert born(Headers(), now, now) == now


def seconds(now: float, rules: Rules, status: int, *pairs: tuple[str, str]) -> float:
    headers = Headers(pairs)
    return lifetime(status, headers, governing(headers, rules.targeted), rules, now).seconds


def test_expires_counts_from_date_and_an_invalid_one_is_in_the_past(now: float, date: Date) -> None:
    def expiring(*pairs: tuple[str, str]) -> float:
        return seconds(now, Rules(), 200, *pairs)

    assert expiring(("Expires", date(300)), ("Date", date(400))) == 0
    assert expiring(("Expires", date(20)), ("Date", date(10))) == 10
    assert expiring(("Expires", date(10)), ("Date", "foo")) == 10
    assert expiring(("Expires", "0")) == 0
    assert expiring(("Expires", date(10)), ("Expires", date(20))) == 0
    assert expiring(("Expires", "Sun, 21 Nov 2286 04:46:39 GMT")) == LIFETIME_MAX
    assert expiring(("Expires", date(-10)), ("Cache-Control", "max-age=60")) == 60
    assert expiring(("Expires", date(60)), ("CDN-Cache-Control", "public")) == 0


@pytest.mark.parametrize(
    ("status", "cache_control", "expected"),
    [
        (200, "", 8640),
        (204, "", 8640),
        (404, "", 10),
        (410, "", 10),
        (301, "", 10),
        (201, "", 0),
        (403, "", 0),
        (503, "", 0),
        (599, "", 0),
        (599, "public", 10),
    ],
)
def test_heuristic_freshness_needs_last_modified_and_a_status_that_allows_it(
    now: float, date: Date, status: int, cache_control: str, expected: float
) -> None:
    pairs = [("Last-Modified", date(-86400)), ("Date", date(0)), ("Cache-Control", cache_control)]
    assert seconds(now, Rules(), status, *pairs) == expected
    assert seconds(now, Rules(), status, *pairs[1:]) == 0


def test_heuristic_freshness_is_not_assumed_with_pragma_or_cookies(now: float, date: Date) -> None:
    headers = Headers([("Last-Modified", date(-86400))])
    directives = governing(headers, ())
    assert lifetime(200, headers, directives, Rules(), now).heuristic
    assert lifetime(200, headers, directives, Rules(), now, personal=True).seconds == 0
    assert lifetime(200, headers.adding([("Pragma", "no-cache")]), directives, Rules(), now).seconds == 0


def test_rules_of_the_site_come_in_their_order(now: float) -> None:
    stated = ("Cache-Control", "max-age=60")
    assert seconds(now, Rules(ttl=5), 200, stated) == 5
    assert seconds(now, Rules(ttl=5), 404, stated) == 60
    assert seconds(now, Rules(ttl_max=30), 200, stated) == 30
    assert seconds(now, Rules(ttl_default=7), 200, stated) == 60
    assert seconds(now, Rules(ttl_default=7), 200) == 7
    assert seconds(now, Rules(negative_ttl=3), 404) == 3
    assert seconds(now, Rules(immutable=True), 200) == LIFETIME_MAX
