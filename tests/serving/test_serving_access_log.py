from __future__ import annotations

import os
from typing import Any

import orjson
import pytest

from edgeproxy.config import Log
from edgeproxy.errors import StartError
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.log_line import LogEntry, combined_line, json_line, redacted
from edgeproxy.serving.trace import RequestIds, traceparent


def entry(**fields: Any) -> LogEntry:
    known: dict[str, Any] = {
        "time": 0.5,
        "id": "i",
        "trace": "t",
        "client": "192.0.2.1",
        "method": "GET",
        "authority": "a",
        "target": "/x?y=z",
        "version": "1.1",
        "status": 200,
        "bytes": 3,
        "seconds": 0.25,
    }
    return LogEntry(**{**known, **fields})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/a?b=c", "/a?b=c"),
        ("/a?token=s&b=c", "/a?token=REDACTED&b=c"),
        ("/a?b=c&X-Amz-Signature=s", "/a?b=c&X-Amz-Signature=REDACTED"),
        ("/a?Policy=p;Key-Pair-Id=q", "/a?Policy=REDACTED;Key-Pair-Id=REDACTED"),
        ("/a?API_KEY=s", "/a?API_KEY=REDACTED"),
        ("/http://user:password@host/x", "/http://host/x"),
        ("/a@b", "/a@b"),
    ],
)
def test_secrets_of_urls_are_left_out(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_a_line_says_what_happened_in_both_formats() -> None:
    line = orjson.loads(json_line(entry(agent="curl", cache="hit")))
    assert (line["time"], line["url"], line["status"], line["cache"]) == (
        "1970-01-01T00:00:00.500Z",
        "/x?y=z",
        200,
        "hit",
    )
    assert combined_line(entry(agent="curl")) == (
        b'192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] "GET /x?y=z HTTP/1.1" 200 3 "-" "curl"\n'
    )


def test_no_field_can_end_a_line_or_exceed_its_bound() -> None:
    nasty = 'a"\\\r\n\x00\x1b[31m\x85\u2028' + "b" * 9000
    hostile = entry(
        target=nasty, method=nasty, agent=nasty, referer=nasty, authority=nasty, id=nasty, detail=nasty
    )
    for line in (json_line(hostile), combined_line(hostile)):
        assert line.count(b"\n") == 1
        assert len(line) < 20_000
        assert b"\x1b" not in line
        assert b"\r" not in line
    assert all(len(str(value)) <= 2048 for value in orjson.loads(json_line(hostile)).values())
    combined_line(hostile).decode("ascii")


def test_lines_are_written_in_order_and_closing_writes_the_rest(tmp_path: Any) -> None:
    log = AccessLog(Log(access_file=str(tmp_path / "log")), Metrics())
    log.start()
    for number in range(1000):
        log.put(entry(bytes=number))
    log.close()
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert [orjson.loads(line)["bytes"] for line in lines] == list(range(1000))


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


def test_ids_and_traces_are_accepted_if_sane_and_made_otherwise() -> None:
    ids = RequestIds()
    assert ids.accepted("abc-1") == "abc-1"
    for bad in ("", "a b", "a\n", "x" * 129, "\u00e9"):
        assert ids.accepted(bad) not in (bad, ids.make())
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent(good) == good
    for bad in (
        "",
        good[:-1],
        good + "0",
        "ff" + good[2:],
        good.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    ):
        made = traceparent(bad)
        assert made != bad
        assert traceparent(made) == made
