from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from benchmarks import traces


@pytest.mark.parametrize("name", traces.REALISTIC)
def test_a_trace_is_the_same_for_a_seed_and_another_for_another(name: str) -> None:
    make = traces.REALISTIC[name]
    first = list(make(3000, 1))
    assert len(first) == 3000
    assert first == list(make(3000, 1))
    assert first != list(make(3000, 2))


@pytest.mark.parametrize("name", traces.REALISTIC)
def test_an_object_has_one_size(name: str) -> None:
    sizes: dict[int, set[int]] = {}
    for number, size in traces.REALISTIC[name](5000, 1):
        sizes.setdefault(number, set()).add(size)
    assert {len(found) for found in sizes.values()} == {1}
    assert min(min(found) for found in sizes.values()) >= 200


def test_the_most_wanted_of_a_zipf_trace_is_wanted_as_often_as_told() -> None:
    counts = Counter(number for number, _ in traces.zipf(1000, 50_000, 1.0, 1))
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.2)


def test_a_release_takes_a_good_part_of_all_downloads_and_fades() -> None:
    requests = list(traces.release_wave(20_000, 1))
    first_seen: dict[int, int] = {}
    for place, (number, _) in enumerate(requests):
        first_seen.setdefault(number, place)
    late = [number for number, place in first_seen.items() if 5000 < place < 6000]
    soon = Counter(number for number, _ in requests[5000:8000])
    later = Counter(number for number, _ in requests[15_000:18_000])
    assert max(soon[number] for number in late) > 30
    assert max(later[number] for number in late) < 15


def test_a_job_asks_for_page_and_file_of_each_package() -> None:
    requests = list(traces.ci_fleet(1000, 1))
    assert all(number >= traces.PAGE for number, _ in requests[::2])
    assert all(number < traces.PAGE for number, _ in requests[1::2])


def test_a_mirror_job_reads_each_file_once_while_it_runs() -> None:
    requests = list(traces.mirror_scan(10_000, 1))
    scanned = Counter(number for number, _ in requests if number >= traces.SCANNED)
    assert set(scanned.values()) == {1}
    assert not any(number >= traces.SCANNED for number, _ in islice(requests, 1000))
    assert 0.3 < scanned.total() / len(requests) < 0.45
