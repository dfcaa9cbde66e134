import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.generator.targets import order, recorded
from edgeproxy.serving.log_line import LogEntry, json_line


def test_a_list_is_asked_for_in_turn() -> None:
    assert list(islice(order(["a", "b"], None, 1), 5)) == ["a", "b", "a", "b", "a"]


def test_zipf_asks_for_a_rank_as_often_as_its_weight_and_the_same_with_the_same_seed() -> None:
    drawn = list(islice(order(range(1, 101), 1.0, 7), 50_000))
    counts, weights = Counter(drawn), sum(1 / rank for rank in range(1, 101))
    for rank in (1, 2, 10):
        assert counts[rank] / 50_000 == pytest.approx(1 / rank / weights, rel=0.1)
    assert drawn == list(islice(order(range(1, 101), 1.0, 7), 50_000))
    assert drawn != list(islice(order(range(1, 101), 1.0, 8), 50_000))


def entry(**given: object) -> bytes:
    whole = {"method": "GET", "target": "/a", "status": 200, "complete": True} | given
    return json_line(
        LogEntry(
            time=1.0,
            id="",
            trace="",
            client="",
            authority="h",
            version="1.1",
            bytes=1,
            seconds=0.1,
            **whole,  # type: ignore[arg-type]
        )
    )


def test_the_mix_is_what_was_asked_for_and_answered_whole_as_the_node_logs_it(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(
        entry(target="/a?x=1")
        + entry(method="POST")
        + entry(target="/b", status=304)
        + entry(status=404)
        + entry(status=206)
        + entry(complete=False)
        + entry(target="/c?token=hush")
        + b"not json\n[]\n"
        + entry(target="/a?x=1")
    )
    assert recorded(log) == ["/a?x=1", "/b", "/a?x=1"]
    assert recorded(log, most=1) == ["/a?x=1"]
    assert recorded(log, takes=lambda target: target == "/b") == ["/b"]


def test_a_log_that_records_nothing_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(json.dumps({"method": "GET"}) + "\n")
    with pytest.raises(ValueError, match="no GET"):
        recorded(log)
