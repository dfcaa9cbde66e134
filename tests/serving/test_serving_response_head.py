"""Response to bytes: status line, fields, framing."""

from typing import Any

import pytest

from edgeproxy.errors import RequestError
from edgeproxy.message import BytesBody, Headers, HeadOnly, Response
from edgeproxy.serving.response_head import (
    DateField,
    Framing,
    breakdown,
    encode_head,
    encode_interim,
    framing_of,
    refusal,
)


class Unknown:
    length = None


def encoded(status: int = 200, *pairs: tuple[str, str], **how: Any) -> bytes:
    known = {"length": 3, "framing": Framing.LENGTH, "connection": "", "date": "D"}
    return encode_head(status, Headers(pairs), **{**known, **how})


@pytest.mark.parametrize(
    ("status", "body", "method", "version", "framing"),
    [
        (200, BytesBody(b"a"), "GET", "1.1", Framing.LENGTH),
        (200, BytesBody(b"a"), "GET", "1.0", Framing.LENGTH),
        (200, Unknown(), "GET", "1.1", Framing.CHUNKED),
        (200, Unknown(), "GET", "1.0", Framing.CLOSE),
        (200, BytesBody(b"a"), "HEAD", "1.1", Framing.NONE),
        (200, HeadOnly(3), "GET", "1.1", Framing.NONE),
        (204, BytesBody(), "GET", "1.1", Framing.NONE),
        (304, Unknown(), "GET", "1.0", Framing.NONE),
    ],
)
def test_framing_follows_status_body_method_and_version(
    status: int, body: Any, method: str, version: str, framing: Framing
) -> None:
    assert framing_of(Response(status, body=body), method, version) is framing


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (encoded(), b"HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 3\r\n\r\n"),
        (encoded(299), b"HTTP/1.1 299 \r\nDate: D\r\nContent-Length: 3\r\n\r\n"),
        (encoded(204), b"HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n"),
        (encoded(304), b"HTTP/1.1 304 Not Modified\r\nDate: D\r\n\r\n"),
        (
            encoded(framing=Framing.CHUNKED, length=None),
            b"HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            encoded(200, ("date", "E"), connection="close"),
            b"HTTP/1.1 200 OK\r\ndate: E\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        ),
        (
            encoded(200, ("Content-Length", "9"), ("TRANSFER-ENCODING", "x"), ("A", "\xe9")),
            b"HTTP/1.1 200 OK\r\nA: \xe9\r\nDate: D\r\nContent-Length: 3\r\n\r\n",
        ),
    ],
)
def test_a_head_is_written_as_it_should_be(head: bytes, wanted: bytes) -> None:
    assert head == wanted


@pytest.mark.parametrize("bad", ["a\r\nB: c", "a\n", "a\r", "\0"])
def test_a_field_that_would_be_several_lines_is_never_written(bad: str) -> None:
    for pair in (("A", bad), (bad, "a")):
        with pytest.raises(ValueError, match="line break"):
            encoded(200, pair)
        with pytest.raises(ValueError, match="line break"):
            encode_interim(103, Headers([pair]))


def test_an_interim_response_has_no_framing_and_no_date() -> None:
    fields = Headers([("Link", "</a>"), ("Content-Length", "3")])
    assert encode_interim(103, fields) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def test_the_date_is_that_of_the_second_also_when_the_clock_goes_back() -> None:
    date = DateField()
    assert date.at(0.0) == date.at(0.9) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert date.at(1.0) == "Thu, 01 Jan 1970 00:00:01 GMT"
    assert date.at(0.5) == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_refusal_is_one_line_and_405_names_what_is_allowed() -> None:
    response = refusal(RequestError(405, "not\r\n  here"))
    assert isinstance(response.body, BytesBody)
    assert response.body.data == b"not here\n"
    assert "GET" in response.headers.get("allow")
    assert "allow" not in refusal(RequestError(400, "x")).headers


def test_a_breakdown_tells_nothing_about_its_cause() -> None:
    assert breakdown().status == 500
    assert breakdown().body == BytesBody(b"internal error\n")
