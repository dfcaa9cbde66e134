import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.axes import axis, tick_text

VALUES = st.lists(
    st.one_of(st.floats(-1e9, 1e9), st.sampled_from([0.0, math.inf, math.nan])), min_size=0, max_size=8
)


@given(VALUES, st.booleans(), st.booleans())
def test_every_value_lies_on_the_axis_and_ticks_are_few_and_in_order(
    values: list[float], is_log: bool, with_zero: bool
) -> None:
    found = axis(values, 50, 400, is_log=is_log, with_zero=with_zero).rounded()
    for value in values:
        if math.isfinite(value):
            assert 50 <= found.at(value) <= 400
    ticks = found.ticks(5)
    assert 2 <= len(ticks) <= 5
    assert ticks == sorted(ticks)
    assert found.at(found.low) == 50
    assert found.at(found.high) == pytest.approx(400)


@pytest.mark.parametrize(
    ("values", "is_log", "ticks"),
    [
        ([0, 99.3], False, [0, 25, 50, 75, 100]),
        ([3, 7], False, [0, 2, 4, 6, 8]),
        ([1, 1000], True, [1, 10, 100, 1000]),
        ([150, 42_000], True, [100, 1000, 10_000]),
        ([0, -5], True, [-4, -2, 0]),  # nothing above 0: a linear one
    ],
)
def test_ticks_are_round(values: list[float], is_log: bool, ticks: list[float]) -> None:
    assert axis(values, 0, 100, is_log=is_log).rounded(5).ticks(5) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (12.5, "12.5"), (20_000, "20k"), (1_500_000, "1.5M"), (-3000, "-3k")],
)
def test_ticks_are_written_short(value: float, text: str) -> None:
    assert tick_text(value) == text
