from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.http_date import parse, render

NOW = 1_800_000_000.0  # January 2027


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "SUN, 06 NOV 1994 08:49:37 gmt",
    ],
)
def test_the_three_formats_mean_the_same_whatever_their_case(text: str) -> None:
    assert parse(text, NOW) == 784111777.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 18 Aug 2050 24:01:18 GMT",
        "Thu, 31 Feb 2050 02:01:18 GMT",
        "Thu, 18 Aug 0000 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT\n",
        "Thu, 1\u00b2 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse(text, NOW) is None


def test_a_two_digit_year_is_at_most_fifty_years_ahead() -> None:
    assert render(parse("Thursday, 18-Aug-50 02:01:18 GMT", NOW) or 0) == "Thu, 18 Aug 2050 02:01:18 GMT"
    assert render(parse("Thursday, 18-Aug-78 02:01:18 GMT", NOW) or 0).endswith("Aug 1978 02:01:18 GMT")


@given(st.integers(0, 253402300799))
@settings(max_examples=150)
def test_what_is_rendered_parses_to_the_same_second(seconds: int) -> None:
    assert parse(render(seconds), NOW) == seconds


@given(st.text(max_size=45))
@settings(max_examples=150)
def test_no_text_makes_it_raise(text: str) -> None:
    parse(text, NOW)
