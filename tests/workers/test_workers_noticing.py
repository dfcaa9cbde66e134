from __future__ import annotations

import time

import pytest

from edgeproxy.config_router import Router, RouterSignals
from edgeproxy.tasks import Tasks
from edgeproxy.workers.noticing import Noticing

TELLING = Router(signals=RouterSignals(routers=["http://router.example"], token="t"))


def test_where_no_router_is_told_nothing_is_noticed() -> None:
    noticing, tasks = Noticing(Router()), Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    noticing.start(tasks)
    assert (noticing.measure, noticing.taken(), len(tasks)) == (None, None, 0)


def test_what_the_processor_did_is_told_once() -> None:
    noticing = Noticing(TELLING)
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    first, second = noticing.taken(), noticing.taken()
    assert first is not None
    assert second is not None
    assert first.processor_seconds >= 0.04 > second.processor_seconds


def test_round_trips_are_left_out_where_they_are_not_to_be_told() -> None:
    silent = Router(signals=RouterSignals(routers=["http://router.example"], token="t", round_trips=False))
    assert Noticing(silent).measure is None
    assert Noticing(TELLING).measure is not None
