from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import hit_ratio
from edgeproxy.simulation.replay import KINDS


def test_best_possible_is_the_share_of_the_most_wanted() -> None:
    assert hit_ratio.best_possible(2, 1, 1.0) == pytest.approx(2 / 3)
    assert hit_ratio.best_possible(10, 10, 1.0) == 1.0


def test_a_run_tells_tables_plots_and_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPROXY_BENCH_OUT", str(tmp_path))
    small = ["--objects", "500", "--requests", "4000", "--realistic", "800", "--seeds", "2", "--dry"]
    monkeypatch.setattr(sys, "argv", ["hit_ratio", *small])
    hit_ratio.main()
    said = json.loads((tmp_path / "hit_ratio.json").read_text())
    assert len(said["tables"]) == 4
    assert [row[0] for row in said["tables"][1]["rows"]] == [*KINDS, "everything kept"]
    assert len(said["plots"]) == 6
    assert len(said["plots"][0]["series"]) == len(KINDS)
    assert len(said["plots"][0]["series"][0]["points"]) == len(hit_ratio.SHARES)
    assert len(said["data"]["samples"]["CI fleet, 1.0% kept: lru byte hit ratio"]) == 2
    assert [limit["limit"] for limit in said["limits"]] == [">= 0.52"]
