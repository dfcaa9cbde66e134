from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.serving.log_line import LogEntry, combined_line, json_line


def entry(number: int, size: int = 1000, **changed: Any) -> LogEntry:
    fields = {"method": "GET", "status": 200, "target": f"/{number}", "site": "files", "cache": "miss"}
    fields = {**fields, **changed}
    return LogEntry(
        time=1.7e9,
        id="",
        trace="",
        client="::1",
        authority="h",
        version="1.1",
        bytes=size,
        seconds=0.1,
        **fields,
    )


# Ten objects in a circle: a cache of nine never answers with LRU, and knowing the future helps.
CIRCLE = [entry(number % 10) for number in range(200)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.jsonl"
    path.write_bytes(b"".join(json_line(one) for one in CIRCLE))
    return path


def simulated(run: Any, *arguments: str) -> dict[str, Any]:
    ended = run("simulate", "--json", *arguments)
    assert ended.code == 0, ended
    said: dict[str, Any] = json.loads(ended.out)
    return said


def test_each_size_and_eviction_is_told_as_a_table(run: Any, log: Path) -> None:
    ended = run("simulate", "--log", str(log), "--disk", "36864", "--disk", "1MiB", "--memory", "64KiB")
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "memory tier, object hit ratio",
        "disk tier, byte hit ratio",
        "36.0 KiB",
        "1.0 MiB",
        "sieve",
    ):
        assert words in ended.out
    rows = [line.split() for line in ended.out.split("\n") if line.startswith("lru ")]
    assert rows[2][1:] == ["0.0", "%", "95.0", "%"], "the disk tier of nine files, and that of all"


def test_the_same_as_json(run: Any, log: Path) -> None:
    said = simulated(run, "--log", str(log), "--disk", "36864", "--eviction", "lru", "--eviction", "belady")
    assert said["log"]["lines"] == said["log"]["used"] == said["log"]["requests"] == 200
    assert (said["log"]["objects"], said["log"]["all_objects_bytes"]) == (10, 10_000)
    ratios = {one["eviction"]: one["object_hit_ratio"] for one in said["outcomes"]}
    assert ratios["lru"] == 0
    assert 0.8 < ratios["belady"] < ratios["unlimited"] == 0.95
    assert {one["capacity"] for one in said["outcomes"]} == {36864, 0}
    assert any("206" in line for line in said["assumed"])


def test_without_a_size_shares_of_all_objects_are_simulated(run: Any, log: Path) -> None:
    said = simulated(run, "--log", str(log), "--eviction", "lru")
    assert [one["capacity"] for one in said["outcomes"]] == [100, 300, 1000, 3000, 0]
    assert {one["tier"] for one in said["outcomes"]} == {"disk"}


def test_compressed_logs_standard_input_and_the_combined_format(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"".join(combined_line(one) for one in CIRCLE)
    (tmp_path / "old.gz").write_bytes(gzip.compress(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    said = simulated(
        run, "--log", str(tmp_path / "old.gz"), "--log", "-", "--disk", "1MiB", "--eviction", "sieve"
    )
    assert (said["log"]["used"], said["log"]["objects"]) == (400, 10)


def test_a_long_log_counts_by_its_last_requests(run: Any, log: Path) -> None:
    said = simulated(run, "--log", str(log), "--requests", "50", "--eviction", "lru")
    assert (said["log"]["requests"], said["log"]["requests_before_those"]) == (50, 150)


def test_lines_that_cannot_be_read_are_counted_and_shown(run: Any, log: Path) -> None:
    log.write_bytes(b"what?\n" + log.read_bytes() + b'{"method":"GET"}\n')
    ended = run("simulate", "--log", str(log))
    assert ended.code == 0
    assert "2 of 202 lines cannot be read and are left out; the first:" in ended.err
    assert f"{log}, line 1: it is neither JSON nor the combined format" in ended.err
    assert "line 202: Object missing required field `url`" in ended.err


def test_a_log_cut_short_is_simulated_as_far_as_it_goes(run: Any, tmp_path: Path) -> None:
    many = b"".join(json_line(entry(number)) for number in range(30_000))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(many)[:-100])
    ended = run("simulate", "--log", str(tmp_path / "cut.gz"), "--eviction", "lru")
    assert ended.code == 0
    assert "the compressed log ends early; what came before counts" in ended.err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the log is empty"),
        (b"nonsense\n", "1 cannot be read; the first: "),
        (json_line(entry(1, status=404)), "of 1 lines 1 are others"),
        (b"\x1f\x8bnonsense", "the log is empty; "),
    ],
)
def test_a_log_of_nothing_says_so(run: Any, tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "log").write_bytes(content)
    ended = run("simulate", "--log", str(tmp_path / "log"))
    assert (ended.code, ended.out) == (1, "")
    assert why in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "Missing option '--log'"),
        (("--log", "absent"), "No such file"),
        (("--disk", "many"), "is not a size"),
        (("--disk", "0"), "keeps nothing"),
        (("--eviction", "fifo"), "is not one of"),
    ],
)
def test_wrong_usage_is_told(run: Any, log: Path, arguments: tuple[str, ...], why: str) -> None:
    given = arguments if arguments[:1] in ((), ("--log",)) else ("--log", str(log), *arguments)
    ended = run("simulate", *given)
    assert ended.code == 2
    assert why in ended.err
