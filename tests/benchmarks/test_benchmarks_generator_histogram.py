import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.generator.histogram import MICROSECONDS_MAX, Histogram, counter_of, highest_of

durations = st.lists(st.integers(0, MICROSECONDS_MAX), min_size=1, max_size=300)
percentiles = st.one_of(st.sampled_from([0, 50, 90, 95, 99, 99.9, 100]), st.floats(0, 100))


def counted(microseconds: list[int]) -> Histogram:
    histogram = Histogram()
    for value in microseconds:
        histogram.add((value + 0.5) / 1e6)  # the middle of it, since seconds are no whole numbers
    return histogram


def exact(values: list[int], q: float) -> int:
    """The least value that at least `q` of a hundred are not above."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(round(q / 100 * len(values), 6))) - 1]


@given(durations, percentiles)
def test_a_percentile_is_that_of_the_sorted_list_with_three_digits(values: list[int], q: float) -> None:
    told, true = counted(values).percentile_ms(q) * 1000, exact(values, q)
    assert true - 1e-6 <= told <= true * (1 + 1 / 1024) + 1e-6


@given(durations)
def test_count_mean_least_and_most_are_exact(values: list[int]) -> None:
    histogram = counted(values)
    assert histogram.count == len(values)
    assert histogram.mean_ms == pytest.approx(sum(values) / len(values) / 1000)
    assert (histogram.min_ms, histogram.max_ms) == (min(values) / 1000, max(values) / 1000)


@given(durations, durations)
def test_two_merged_are_one_that_counted_all(first: list[int], second: list[int]) -> None:
    assert Histogram.merged([counted(first), counted(second)]) == counted(first + second)


@given(durations)
def test_what_is_told_as_json_is_the_same_histogram(values: list[int]) -> None:
    assert Histogram.from_json(counted(values).to_json()) == counted(values)


@given(st.integers(0, MICROSECONDS_MAX))
def test_a_counter_ends_at_its_highest_value(value: int) -> None:
    counter = counter_of(value)
    assert value <= highest_of(counter)
    assert counter_of(highest_of(counter)) == counter
    assert counter_of(highest_of(counter) + 1) == counter + 1


@given(durations, st.integers(0, MICROSECONDS_MAX))
def test_the_share_within_a_bound_is_that_of_the_list_but_for_the_width_of_a_counter(
    values: list[int], bound: int
) -> None:
    share = counted(values).share_within(bound / 1000)
    least = sum(value <= bound for value in values) / len(values)
    most = sum(value <= bound * (1 + 1 / 1024) + 1 for value in values) / len(values)
    assert least - 1e-9 <= share <= most + 1e-9


def test_nothing_counted_is_told_as_nothing() -> None:
    empty = Histogram()
    assert (empty.mean_ms, empty.percentile_ms(99), empty.min_ms, empty.max_ms) == (0, 0, 0, 0)


def test_what_is_out_of_bounds_is_counted_at_the_bound() -> None:
    histogram = Histogram()
    histogram.add(-1.0)
    histogram.add(1e9)
    assert (histogram.min_ms, histogram.max_ms) == (0, MICROSECONDS_MAX / 1000)


@pytest.mark.parametrize("q", [-1, 100.1])
def test_a_percentile_that_is_none_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        Histogram().percentile_ms(q)
