from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.far_hub import MIX, Scale, reduction, seen, trace
from benchmarks.hub_client import Taken
from benchmarks.hub_models import Models
from benchmarks.mirror import _limits, by_time

MODELS = Models(8, 1, 1000)


def _taken(when: float, seconds: float, problem: str = "", cache: str = "") -> Taken:
    return Taken("info", when, seconds, seconds / 2, 0.0, cache, problem)


def test_the_trace_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert trace(MODELS, 50, 10, 1) == trace(MODELS, 50, 10, 1)
    assert trace(MODELS, 50, 10, 1) != trace(MODELS, 50, 10, 2)


def test_requests_come_in_order_at_the_rate_for_the_time_and_in_their_shares() -> None:
    found = trace(MODELS, 200, 20, 3)
    times = [when for when, _ in found]
    assert times == sorted(times)
    assert times[-1] < 20
    assert 3700 < len(found) < 4300
    kinds = Counter(want.kind for _, want in found)
    assert kinds["weights"] / len(found) == pytest.approx(MIX["weights"] / sum(MIX.values()), abs=0.03)
    names = Counter(want.model for _, want in found)
    assert [name for name, _ in names.most_common(3)] == MODELS.names[:3]


def test_means_are_of_what_succeeded_and_failures_are_counted() -> None:
    said = "edgeproxy; hit; ttl=5"
    saw = seen([_taken(0, 1.0), _taken(1, 3.0, cache=said), _taken(2, 100.0, "status 503")])
    assert (saw.mean_ms, saw.first_byte_ms, saw.failed, saw.hits) == (2000, 1000, 1, 1)
    assert saw.success == pytest.approx(2 / 3)


def test_nothing_taken_is_no_success() -> None:
    assert seen([]).success == 0.0
    assert seen([_taken(0, 1.0, "cut")]).mean_ms == 0.0


def test_latency_by_time_leaves_out_spans_in_which_nothing_succeeded() -> None:
    taken = [_taken(0, 1.0), _taken(1, 3.0), _taken(5, 9.0, "cut"), _taken(9, 0.5), _taken(10, 0.5)]
    assert by_time(taken, 5) == [(2.0, 2000.0), (10.0, 500.0)]


def test_a_reduction_is_the_share_by_which_a_figure_is_less() -> None:
    assert reduction(1800, 270) == pytest.approx(0.85)
    assert reduction(0, 1) == 0.0


def test_a_nearer_hub_is_nearer_in_all_that_takes_time() -> None:
    far, near = Scale(1, 1, 1, 1), Scale(1, 1, 1, 1, nearer=5)
    assert far.distance.rtt == pytest.approx(5 * near.distance.rtt)
    assert far.rates(1).think == pytest.approx(5 * near.rates(1).think)
    assert far.rates(1).failing == near.rates(1).failing
    assert far.timeout == 5 * near.timeout


def test_limits_are_met_by_ratios_within_rounds_and_by_all_requests_together() -> None:
    slow = {"direct": [_taken(0, 2.0)], "edgeproxy": [_taken(0, 0.2)]}
    bad = {"direct": [_taken(0, 2.0)], "edgeproxy": [_taken(0, 0.2), _taken(1, 0.1, "status 504")]}
    assert [limit.met for limit in _limits([slow, slow, slow], judged=True)] == [True, True, True]
    assert [limit.met for limit in _limits([slow, slow, bad], judged=True)] == [True, True, False]
    assert [limit.met for limit in _limits([bad], judged=False)] == [None, None, None]
