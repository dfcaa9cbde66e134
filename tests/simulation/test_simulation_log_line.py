"""One line of an access log."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.serving.log_line import LogEntry, combined_line, json_line
from edgeproxy.simulation.log_line import Asked, UnreadableLine, read, seconds

NOW = 1_700_000_000.25


def entry(**changed: Any) -> LogEntry:
    told: dict[str, Any] = {
        "time": NOW,
        "id": "1",
        "trace": "",
        "client": "10.0.0.1",
        "method": "GET",
        "authority": "edge:80",
        "target": "/a?b=c",
        "version": "1.1",
        "status": 200,
        "bytes": 1234,
        "seconds": 0.1,
    }
    return LogEntry(**{**told, **changed})


def test_a_line_of_this_node_is_read_in_both_formats() -> None:
    for_json = read(json_line(entry(site="files", cache="hit")).rstrip(b"\n"))
    assert for_json == Asked(b"files /a?b=c", 1234, "10.0.0.1", "2023-11-14T22:13:20.250Z", False, True)
    combined = read(combined_line(entry(agent='a "b" c')).rstrip(b"\n"))
    assert combined == Asked(b"/a?b=c", 1234, "10.0.0.1", "14/Nov/2023:22:13:20 +0000", False, None)
    assert [seconds(one.time) for one in (for_json, combined) if one] == [NOW, 1_700_000_000.0]


def test_other_servers_lines_are_read() -> None:
    line = b'2001:db8::1 - alice [10/Oct/2000:13:55:36 -0700] "GET /x HTTP/1.0" 206 2326'
    found = read(line)
    assert found == Asked(b"/x", 2326, "2001:db8::1", "10/Oct/2000:13:55:36 -0700", True, None)
    assert seconds("10/Oct/2000:13:55:36 -0700") == 971211336.0
    nginx = b'10.1.1.1 - - [10/Oct/2000:13:55:36 +0000] "HEAD /x HTTP/2.0" 304 - "-" "curl/8" "0.01"\r'
    assert read(nginx) == Asked(b"/x", 0, "10.1.1.1", "10/Oct/2000:13:55:36 +0000", False, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "POST"},
        {"status": 404},
        {"status": 302},
        {"cache": "bypass"},
        {"cache": "local"},
        {"cache": "tunnel", "method": "CONNECT"},
    ],
)
def test_what_no_cache_would_have_answered_is_not_asked(changed: dict[str, Any]) -> None:
    assert read(json_line(entry(**changed)).rstrip()) is None


@pytest.mark.parametrize(
    ("cache", "known"), [("hit", True), ("stale", True), ("revalidated", True), ("miss", False), ("", None)]
)
def test_the_log_says_what_was_answered_from_the_store(cache: str, known: bool | None) -> None:
    found = read(json_line(entry(cache=cache)).rstrip())
    assert found is not None
    assert found.is_from_store is known


def test_without_a_site_the_host_tells_objects_apart() -> None:
    found = read(json_line(entry()).rstrip())
    assert found is not None
    assert found.key == b"edge:80 /a?b=c"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"{",
        b"{}",
        b"[1]",
        b'{"method":1}',
        b'{"method":"GET","url":"/","status":200,"bytes":-1}',
        b'{"method":"GET","url":"/","status":200,"bytes":99999999999999999999}',
        b'{"method":"GET","url":"/","status":200,"bytes":1.5}',
        b'{"method":"GET","url":"\xff","status":200,"bytes":1}',
        b'1.1.1.1 - - [x] "GET /" 2000 1',
        b'1.1.1.1 - - [x] "GET / HTTP/1.1" 200 ' + b"9" * 5000,
        b'1.1.1.1 - - [x] "-" 400 0 "-" "-"',
    ],
)
def test_a_line_that_cannot_be_read_says_why_in_one_line(line: bytes) -> None:
    with pytest.raises(UnreadableLine) as caught:
        read(line)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200) | st.from_regex(rb'\S+ - - \[.*\] "GET .*" 200 [0-9]+.*', fullmatch=True))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    try:
        found = read(line)
    except UnreadableLine:
        return
    assert found is None or 0 <= found.bytes <= 1 << 50


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=9), st.lists
)


@given(st.dictionaries(st.sampled_from(["method", "url", "status", "bytes", "time", "client", "site"]), JSON))
def test_any_json_is_read_or_refused(content: dict[str, Any]) -> None:
    try:
        line = orjson.dumps(content)
    except TypeError:  # an integer of more than 64 bits
        return
    with contextlib.suppress(UnreadableLine):
        read(line)


@pytest.mark.parametrize("time", ["", "never", "14/Nov/2023", "99/Nov/2023:22:13:20 +0000"])
def test_a_time_that_is_none_is_none(time: str) -> None:
    assert seconds(time) is None
