"""The command with a checkout that is made up: its scenarios are scripts of a few lines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCENARIOS = """
import json
names = dict.fromkeys(("good", "broken", "lying", "absent", "slow"), True) | {"full": False, "endless": False}
print(json.dumps({
    "scenarios": [
        {"name": name, "question": f"What of {name}?", "uses": ["wrk"], "is_quick": quick, "minutes_max": 0.01
         if name == "slow" else 5, "is_alone": False} for name, quick in names.items()
    ],
    "lacking": [{"program": "wrk", "package": "wrk-of-debian", "scenarios": ["good", "full"]}],
}))
"""
RESULT = """
import json, os, sys
print("measuring", *sys.argv[1:])
found = {"name": NAME, "tables": [{}], "skipped": [], "failures": []} | MORE
open(os.path.join(os.environ["EDGEPROXY_BENCH_OUT"], NAME + ".json"), "w").write(json.dumps(found))
"""
MODULES = {
    "__init__": "",
    "scenarios": SCENARIOS,
    "page": "import sys; open(sys.argv[1] + '/index.html', 'w').write('<p>'); print('verdict: behind 1')",
    "compare": "import sys; open('compared', 'w').write(' '.join(sys.argv[1:])); sys.exit(1)",
    "good": "NAME, MORE = 'good', {}" + RESULT,
    "full": "NAME, MORE = 'full', {}" + RESULT,
    "lying": "NAME, MORE = 'lying', {'failures': ['wrong bytes']}" + RESULT,
    "absent": "NAME, MORE = 'absent', {'tables': [], 'skipped': ['gdnsd: is not installed']}" + RESULT,
    "broken": "raise OSError('no space left')",
    "slow": "import tempfile, time; print(tempfile.mkdtemp()); time.sleep(60)",
    "endless": "import os, time; print(os.getpid()); time.sleep(60)",
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkout" / "benchmarks"
    folder.mkdir(parents=True)
    for name, code in MODULES.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(folder.parent)
    return folder.parent


def states(report: Path) -> dict[str, tuple[str, str]]:
    outcomes = json.loads((report / "run.json").read_text())["outcomes"]
    return {one["name"]: (one["state"], one["reason"]) for one in outcomes}


def test_each_scenario_is_measured_failed_or_skipped_whatever_became_of_the_others(
    run: Any, made: Path
) -> None:
    ended = run("bench", "--quick", "--report", "out")
    assert ended.code == 1
    left = (made / "out" / "slow.log").read_text().strip()
    assert left
    assert not Path(left).exists()
    assert states(made / "out") == {
        "good": ("measured", ""),
        "broken": ("failed", "OSError: no space left"),
        "lying": ("failed", "wrong bytes"),
        "absent": ("skipped", "gdnsd: is not installed"),
        "slow": ("failed", f"not done within 1 s; last: {left}"),
        "full": ("skipped", "has no quick run"),
        "endless": ("skipped", "has no quick run"),
    }
    assert (made / "out" / "good.log").read_text() == "measuring --quick\n"
    assert (made / "out" / "index.html").exists()
    assert "good: measured in" in ended.err
    assert "skipped, has no quick run: full, endless" in ended.out
    assert f"report: {made}/out/index.html" in ended.out


def test_all_measured_is_0_and_the_default_is_a_full_run(run: Any, made: Path) -> None:
    ended = run("bench", "good", "full")
    assert ended.code == 0, ended.err
    assert states(made / "bench-report") == {"good": ("measured", ""), "full": ("measured", "")}
    assert (made / "bench-report" / "good.log").read_text() == "measuring\n"


def test_what_is_not_installed_is_told_with_its_package(run: Any, made: Path) -> None:
    ended = run("bench", "--list", "good", "broken")
    assert ended.code == 0
    assert "What of good?" in ended.out
    assert "not installed: wrk (used by good)\n  on Debian: apt install wrk-of-debian;" in ended.err
    assert run("bench", "--list", "broken").err == ""
    assert not (made / "bench-report").exists()


@pytest.mark.parametrize("arguments", [("hitz",), ("--fast",), ("compare",), ("compare", "absent", "absent")])
def test_wrong_usage_ends_with_2(run: Any, made: Path, arguments: tuple[str, ...]) -> None:
    assert run("bench", *arguments).code == 2


def test_away_from_a_checkout_it_is_told_what_to_do(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgeproxy.cli.bench_checkout.places", lambda: [tmp_path])
    ended = run("bench", "--quick")
    assert ended.code == 2
    assert "Go to a checkout of edgeproxy" in " ".join(ended.err.split())


def test_two_reports_are_compared_by_the_checkout_and_its_status_is_ours(run: Any, made: Path) -> None:
    for name in ("a", "b"):
        (made / name).mkdir()
    assert run("bench", "compare", "a", "b").code == 1
    assert (made / "compared").read_text() == f"{made}/a {made}/b"


def test_sigterm_ends_what_runs_and_leaves_a_report_of_what_was_measured(made: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeproxy", "bench", "good", "endless"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = iter(process.stderr.readline, "")
    assert any(line.startswith("endless: ") for line in said)
    log = made / "bench-report" / "endless.log"
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    process.stderr.close()
    until(lambda: not Path(f"/proc/{int(log.read_text())}").exists())
    assert states(made / "bench-report") == {
        "good": ("measured", ""),
        "endless": ("skipped", "the run was ended before it"),
    }
    assert (made / "bench-report" / "index.html").exists()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_page_that_cannot_be_made_is_a_line(run: Any, made: Path) -> None:
    (made / "benchmarks" / "page.py").write_text("raise SystemExit('no page: so')")
    ended = run("bench", "good")
    assert ended.code == 1
    assert f"edgeproxy: the page could not be made; the results are in {made}/bench-report" in ended.err
