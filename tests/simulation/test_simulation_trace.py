"""Requests as numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.simulation.trace import RUNNING_MAX, Gathering, Trace, key_number, made


def asked(trace: Trace) -> list[tuple[int, int]]:
    return list(zip(trace.numbers, trace.bytes, strict=True))


def test_objects_are_numbered_as_they_come_and_as_large_as_the_most_that_was_sent() -> None:
    trace = made([(70, 5), (9, 1), (70, 0), (70, 8)])
    assert asked(trace) == [(0, 5), (1, 1), (0, 0), (0, 8)]
    assert (list(trace.sizes), trace.objects, trace.footprint, trace.dropped) == ([8, 1], 2, 9, 0)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50)), max_size=200), st.integers(1, 40))
def test_of_a_long_log_the_last_requests_are_held(requests: list[tuple[int, int]], most: int) -> None:
    gathering = Gathering(most)
    for key, size in requests:
        gathering.add(key, size)
        assert len(gathering._requests) <= most + most // 4 + 1
    trace, last = gathering.trace(), requests[-most:]
    assert trace.dropped == len(requests) - len(last)
    assert sorted(trace.numbers) == sorted(made(last).numbers)
    assert [size for _, size in asked(trace)] == [size for _, size in last]
    same = {(key, number) for (key, _), number in zip(last, trace.numbers, strict=True)}
    assert len(same) == len({key for key, _ in last}) == trace.objects
    assert sorted(trace.sizes) == sorted(made(last).sizes)


def test_parts_that_one_client_takes_in_a_row_are_one_request() -> None:
    gathering = Gathering()
    for second in range(0, 250, 50):
        gathering.add_part(1, 10, "a", 1000.0 + second)
    gathering.add_part(1, 10, "b", 1050.0)
    gathering.add_part(2, 7, "a", 1050.0)
    gathering.add_part(1, 30, "a", 1270.0)
    trace = gathering.trace()
    assert asked(trace) == [(0, 50), (0, 10), (1, 7), (0, 30)]
    assert list(trace.sizes) == [50, 7]


def test_a_part_whose_download_was_dropped_is_a_request_of_its_own() -> None:
    gathering = Gathering(4)
    gathering.add_part(1, 10, "a", 0.0)
    for other in range(10, 20):
        gathering.add(other, 1)
    gathering.add_part(1, 10, "a", 1.0)
    gathering.add_part(1, 10, "a", 2.0)
    assert [size for _, size in asked(gathering.trace())] == [1, 1, 1, 20]


def test_downloads_that_are_followed_are_bounded() -> None:
    gathering = Gathering()
    for client in range(RUNNING_MAX + 10):
        gathering.add_part(1, 1, str(client), 0.0)
    assert len(gathering._running) == RUNNING_MAX


def test_keys_have_numbers_of_64_bits_that_differ() -> None:
    numbers = {key_number(b"%d" % number) for number in range(10_000)}
    assert len(numbers) == 10_000
    assert 1 << 60 < max(numbers) < 1 << 64
