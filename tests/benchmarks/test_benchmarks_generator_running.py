"""The generator as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from benchmarks import machine
from benchmarks.generator import Plan, run, start
from benchmarks.peers.peer import free_port
from benchmarks.plain_server import PlainServer

TARGET = "/b/1024/a"


def test_a_plan_is_followed_by_another_process_and_its_outcome_comes_back() -> None:
    with PlainServer(machine.load_core()) as server:
        assert server.process
        watched = {"server": server.process.pid}
        plan = Plan(server.url, (TARGET,), rate=100, warm_seconds=0, seconds=0.3, watched=watched)
        outcome = run(plan)
    assert (outcome.requests, outcome.failed, outcome.is_open_loop) == (30, 0, True)
    assert outcome.latency.count == 30
    assert outcome.used["server"].peak_bytes > 0


def test_something_else_may_be_done_meanwhile_and_a_load_may_be_ended() -> None:
    plan = Plan(f"http://127.0.0.1:{free_port()}", (TARGET,), rate=1, seconds=600)
    begun = time.monotonic()
    with start(plan):
        pass
    assert time.monotonic() - begun < 60


def test_what_is_no_plan_is_told_in_a_sentence() -> None:
    command = [sys.executable, "-m", "benchmarks.generator"]
    plan = '{"url": "http://127.0.0.1:1", "targets": []}'
    done = subprocess.run(command, input=plan, capture_output=True, text=True, cwd=machine.ROOT, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "not a plan: at least one target is needed\n"


def test_a_generator_that_fails_is_an_error_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "to_json", lambda self: "{}")
    with pytest.raises(RuntimeError, match="the load generator failed: not a plan"):
        run(Plan("http://127.0.0.1:1", (TARGET,)))
