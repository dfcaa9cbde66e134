from __future__ import annotations

from pathlib import Path
from typing import Any

ROUTER = """
[[router.node]]
name = "paris"
url = "http://paris.example"
country = "FR"

[[router.node]]
name = "tokyo"
url = "http://tokyo.example"
country = "JP"
"""
LOG = """
{"time": "2026-01-01T00:00:00Z", "client": "133.11.0.1", "url": "/hf/a", "bytes": 9, "node": "paris"}
{"time": "2026-01-01T00:00:01Z", "client": "81.2.69.142", "url": "/hf/b", "bytes": 9, "status": 200}
{"time": "2026-01-01T00:00:02Z", "client": "127.0.0.1", "url": "/route/v1/announce", "site": ""}
{"time": "2026-01-01T00:00:03Z", "client": "133.11.0.1", "url": "/hf/a", "site": "route", "source": "tokyo"}
{"time": "never", "client": "81.2.69.142", "url": "/hf/b"}
"""


def files(directory: Path) -> tuple[str, str]:
    (directory / "router.toml").write_text(ROUTER)
    (directory / "log").write_text(LOG)
    return str(directory / "router.toml"), str(directory / "log")


def test_each_policy_is_asked_what_it_would_have_done(run: Any, tmp_path: Path) -> None:
    config, log = files(tmp_path)
    ended = run("route", "replay", "--config", config, log)
    assert (ended.code, "5 lines: 1 unusable" in ended.out, "1 between nodes" in ended.out) == (
        0,
        True,
        True,
    ), ended
    rows = [line.split() for line in ended.out.splitlines()]
    # Three were asked about; the first was sent to another node than the nearest.
    assert next(row for row in rows if row[0] == "geo-rtt")[1:3] == ["3", "1"], ended
    assert "round-robin" in ended.out
    assert "to origin" not in ended.out
    assert "line 6: time 'never'" in ended.err


def test_some_policies_can_be_chosen(run: Any, tmp_path: Path) -> None:
    config, log = files(tmp_path)
    ended = run("route", "replay", "--config", config, "--policy", "geo", log)
    assert (ended.code, "round-robin" in ended.out) == (0, False)
    assert run("route", "replay", "--policy", "random", log).code == 2
