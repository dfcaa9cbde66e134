from __future__ import annotations

import os
import time
from typing import Any

import orjson
import pytest
from serving_stand import entry

from edgeproxy.config import Log
from edgeproxy.errors import StartError
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog


def test_lines_are_written_in_order_and_closing_writes_the_rest(tmp_path: Any) -> None:
    log = AccessLog(Log(access_file=str(tmp_path / "log")), Metrics())
    log.start()
    for number in range(1000):
        log.put(entry(bytes=number))
    log.close()
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert [orjson.loads(line)["bytes"] for line in lines] == list(range(1000))


def test_a_line_is_written_soon_also_after_a_rest(tmp_path: Any) -> None:
    path = tmp_path / "log"
    log = AccessLog(Log(access_file=str(path)), Metrics())
    log.start()
    for number in range(3):
        log.put(entry(bytes=number))
        end = time.monotonic() + 30
        while path.read_bytes().count(b"\n") <= number:
            assert time.monotonic() < end
        while not log._asleep:  # it rests again, and is woken by the next line only
            assert time.monotonic() < end
    log.close()


def test_a_log_that_cannot_be_opened_is_an_error_at_start(tmp_path: Any) -> None:
    with pytest.raises(StartError, match="absent"):
        AccessLog(Log(access_file=str(tmp_path / "absent" / "log")), Metrics()).start()


def test_a_blocked_pipe_costs_lines_and_nothing_else(tmp_path: Any) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    metrics = Metrics()
    log = AccessLog(Log(access_file=path, queue=100), metrics)
    log.start()
    for _ in range(20_000):
        log.put(entry(agent="a" * 200))
    assert metrics.value("log_lines_dropped_total") > 1000
    os.close(reader)  # the thread's write ends with EPIPE
    log.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    metrics = Metrics()
    log = AccessLog(Log(access_file="/dev/full"), metrics)
    log.start()
    log.put(entry())
    log.close()
    assert metrics.value("log_lines_dropped_total") == 1
