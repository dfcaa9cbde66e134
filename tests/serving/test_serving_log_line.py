"""One line of the access log."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from serving_stand import entry

from edgeproxy.serving.log_line import combined_line, iso_time, json_line, redacted


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/a?b=c", "/a?b=c"),
        ("/a?token=s&b=c", "/a?token=REDACTED&b=c"),
        ("/a?b=c&X-Amz-Signature=s", "/a?b=c&X-Amz-Signature=REDACTED"),
        ("/a?Policy=p;Key-Pair-Id=q", "/a?Policy=REDACTED;Key-Pair-Id=REDACTED"),
        ("/a?API_KEY=s", "/a?API_KEY=REDACTED"),
        ("/hf/_cas/xorbs/abc/0?x=1", "/hf/_cas/xorbs/REDACTED/0?x=1"),
        ("/hf/_lfs/abc", "/hf/_lfs/REDACTED"),
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


def test_an_answer_that_broke_off_says_so_and_a_whole_one_does_not() -> None:
    assert orjson.loads(json_line(entry(complete=False)))["aborted"] is True
    assert "aborted" not in orjson.loads(json_line(entry()))


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_of_a_client_stays_in_its_line(target: str, agent: str) -> None:
    line = combined_line(entry(target=target, agent=agent))
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    assert line.count(b'"') == 6


@given(st.floats(-1e9, 1e11, allow_nan=False))
@example(1.9999999)
@example(1999.9995)
@example(-0.5)
@example(0.0)
def test_times_are_written_to_the_millisecond(time: float) -> None:
    written = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    assert iso_time(time) == written.replace("+00:00", "Z")
