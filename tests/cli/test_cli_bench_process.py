import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.cli.bench_process import Ended, ended_by_signals, last_line, run_bounded


def ran(
    directory: Path,
    code: str,
    seconds_max: float = 20.0,
    watch: Any = lambda passed: None,
    end_seconds: float = 10.0,
) -> Ended:
    return run_bounded(
        [sys.executable, "-c", code],
        directory=directory,
        environment={**os.environ, "PYTHONUNBUFFERED": "1"},
        log=directory / "log",
        seconds_max=seconds_max,
        watch=watch,
        end_seconds=end_seconds,
    )


def is_gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether it ends soon; one that has ended and that nobody has asked for is gone too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


# Starts a child that does not end by itself, says its id, and then does what is told.
WITH_CHILD = (
    "import subprocess, sys, time; sleep = 'import time; time.sleep(60)';"
    "child = subprocess.Popen([sys.executable, '-c', sleep]); print(child.pid);"
)


def test_status_output_and_directory_are_those_of_the_command(tmp_path: Path) -> None:
    ended = ran(tmp_path, "import os, sys; print('one'); print(os.getcwd(), file=sys.stderr); sys.exit(3)")
    assert ended.status == 3
    assert (tmp_path / "log").read_text().splitlines() == ["one", str(tmp_path)]


def test_what_the_command_left_running_is_ended(tmp_path: Path) -> None:
    assert ran(tmp_path, WITH_CHILD).status == 0
    assert is_gone(int(last_line(tmp_path / "log")))


def test_a_command_over_its_time_is_ended_with_all_it_started(tmp_path: Path) -> None:
    ended = ran(tmp_path, WITH_CHILD + "time.sleep(60)", seconds_max=1.0)
    assert ended.status is None
    assert ended.seconds >= 1.0
    assert is_gone(int(last_line(tmp_path / "log")))


def test_a_command_that_does_not_obey_is_ended_by_force(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    begun = time.monotonic()
    assert ran(tmp_path, deaf, seconds_max=1.0, end_seconds=0.2).status is None
    assert time.monotonic() - begun < 10
    assert last_line(tmp_path / "log") == "deaf"


def test_an_exception_that_passes_ends_the_command_first(tmp_path: Path) -> None:
    def interrupt(passed: float) -> None:
        if last_line(tmp_path / "log"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, WITH_CHILD + "time.sleep(60)", watch=interrupt)
    assert is_gone(int(last_line(tmp_path / "log")))


def test_sigterm_is_an_exit_and_what_stood_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, ended_by_signals():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"one\n\x1b[31mred\xff\n", "[31mred\ufffd"),
        (b"x" * 9000 + b"\nend", "end"),
    ],
)
def test_the_last_line_is_found_without_what_a_terminal_would_obey(
    tmp_path: Path, text: bytes, line: str
) -> None:
    (tmp_path / "log").write_bytes(text)
    assert last_line(tmp_path / "log") == line


def test_a_log_that_is_not_there_has_no_last_line(tmp_path: Path) -> None:
    assert last_line(tmp_path / "log") == ""
