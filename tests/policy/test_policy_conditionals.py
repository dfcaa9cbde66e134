from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeproxy.message import Headers, Request
from edgeproxy.policy.conditionals import evaluate, not_modified, ranges_apply

Get = Callable[..., Request]
Date = Callable[[float], str]


def held(date: Date) -> Headers:
    return Headers(
        [("ETag", '"a"'), ("Last-Modified", date(-3000)), ("Date", date(0)), ("Content-Type", "x/y")]
    )


@pytest.mark.parametrize(
    ("field", "value", "verdict"),
    [
        ("If_None_Match", '"a"', 304),
        ("If_None_Match", 'W/"a"', 304),
        ("If_None_Match", '"x", "a", "y"', 304),
        ("If_None_Match", "*", 304),
        ("If_None_Match", '"b"', 200),
        ("If_None_Match", '"a,b"', 200),
        ("If_Modified_Since", -3000, 304),
        ("If_Modified_Since", -2000, 304),
        ("If_Modified_Since", -3001, 200),
        ("If_Modified_Since", "rubbish", 200),
        ("If_Match", '"a"', 200),
        ("If_Match", "*", 200),
        ("If_Match", 'W/"a"', 412),
        ("If_Match", '"b"', 412),
        ("If_Unmodified_Since", -3000, 200),
        ("If_Unmodified_Since", -3001, 412),
        ("If_Unmodified_Since", "rubbish", 200),
    ],
)
def test_each_precondition(get: Get, date: Date, field: str, value: str | int, verdict: int) -> None:
    text = date(value) if isinstance(value, int) else value
    assert evaluate(get(**{field: text}), 200, held(date)) == verdict


def test_entity_tags_come_before_dates(get: Get, date: Date) -> None:
    assert evaluate(get(If_None_Match='"a"', If_Modified_Since=date(-9000)), 200, held(date)) == 304
    assert evaluate(get(If_None_Match='"b"', If_Modified_Since=date(0)), 200, held(date)) == 200
    assert evaluate(get(If_Match='"a"', If_Unmodified_Since=date(-9000)), 200, held(date)) == 200
    assert evaluate(get(If_Match='"b"', If_None_Match='"a"'), 200, held(date)) == 412


def test_only_a_200_to_get_or_head_is_subject_to_preconditions(get: Get, date: Date) -> None:
    assert evaluate(get(If_None_Match='"a"'), 404, held(date)) == 200
    assert evaluate(get("POST", If_None_Match='"a"'), 200, held(date)) == 200
    assert evaluate(get("HEAD", If_None_Match='"a"'), 200, held(date)) == 304


def test_without_last_modified_date_is_compared(get: Get, date: Date) -> None:
    dated = Headers([("Date", date(-100))])
    assert evaluate(get(If_Modified_Since=date(-50)), 200, dated) == 304
    assert evaluate(get(If_Modified_Since=date(-500)), 200, dated) == 200
    assert evaluate(get(If_Unmodified_Since=date(-500)), 200, dated) == 200


def test_a_304_keeps_validators_and_drops_what_describes_content(date: Date) -> None:
    assert [name for name, _ in not_modified(held(date))] == ["ETag", "Last-Modified", "Date"]


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        ('"a"', True),
        ('W/"a"', False),
        ('"b"', False),
        (-3000, True),
        (-2999, False),
        ("rubbish", False),
        ("", False),
    ],
)
def test_a_range_applies_only_to_exactly_what_if_range_names(
    get: Get, date: Date, if_range: str | int, applies: bool
) -> None:
    text = date(if_range) if isinstance(if_range, int) else if_range
    assert ranges_apply(get(Range="bytes=0-1", If_Range=text), held(date)) is applies


def test_a_weak_date_or_another_method_gives_no_range(get: Get, date: Date) -> None:
    recent = Headers([("Last-Modified", date(-30)), ("Date", date(0))])
    assert not ranges_apply(get(Range="bytes=0-1", If_Range=date(-30)), recent)
    assert not ranges_apply(get("HEAD", Range="bytes=0-1"), held(date))
    assert not ranges_apply(get(), held(date))
    assert ranges_apply(get(Range="bytes=0-1"), held(date))
