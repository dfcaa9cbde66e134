from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError
from edgeproxy.serving.head import Head, parse_head
from edgeproxy.serving.head_syntax import HeadReader

LIMITS = Limits(head=2048, uri=512, fields=8)
HOST = b"Host: a.example\r\n"


def request(line: bytes = b"GET / HTTP/1.1", fields: bytes = HOST) -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


def outcome(pieces: list[bytes]) -> Head | int | None:
    """What comes of bytes that arrive in these pieces: a head, a status, or the wait for more."""
    reader = HeadReader(LIMITS)
    try:
        for piece in pieces:
            reader.push(piece)
            whole = reader.pop()
            if whole is not None:
                return parse_head(whole, LIMITS)
    except RequestError as error:
        return error.status
    return None


REFUSED = {
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare LF in fields": (request(fields=b"Host: a\nX: b\r\n"), 400),
    "bare CR in a value": (request(fields=HOST + b"X: a\rb\r\n"), 400),
    "bare CR in the line": (request(b"GET /\r HTTP/1.1"), 400),
    "NUL in a value": (request(fields=HOST + b"X: a\0b\r\n"), 400),
    "NUL in the target": (request(b"GET /\0 HTTP/1.1"), 400),
    "obs-fold": (request(fields=HOST + b"X: a\r\n b\r\n"), 400),
    "field first is folded": (request(fields=b" X: a\r\n" + HOST), 400),
    "space before colon": (request(fields=HOST + b"X : a\r\n"), 400),
    "space in a name": (request(fields=HOST + b"X Y: a\r\n"), 400),
    "no colon": (request(fields=HOST + b"nonsense\r\n"), 400),
    "empty name": (request(fields=HOST + b": a\r\n"), 400),
    "high byte in a name": (request(fields=HOST + b"X\xe9: a\r\n"), 400),
    "HTTP/0.9": (b"GET /\r\n", 400),
    "HTTP/0.9 by name": (request(b"GET / HTTP/0.9"), 505),
    "other major": (request(b"GET / HTTP/2.0"), 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "lower-case version": (request(b"GET / http/1.1"), 400),
    "long version": (request(b"GET / HTTP/1.10"), 400),
    "no version number": (request(b"GET / HTTP/1"), 400),
    "double space": (request(b"GET  / HTTP/1.1"), 400),
    "double space before version": (request(b"GET /  HTTP/1.1"), 400),
    "tab for space": (request(b"GET\t/ HTTP/1.1"), 400),
    "trailing space": (request(b"GET / HTTP/1.1 "), 400),
    "leading space": (request(b" GET / HTTP/1.1"), 400),
    "space in the target": (request(b"GET /a b HTTP/1.1"), 400),
    "fragment": (request(b"GET /a#b HTTP/1.1"), 400),
    "high byte in the target": (request(b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "bad method": (request(b"G(T / HTTP/1.1"), 400),
    "two empty lines first": (b"\r\n\r\n" + request(), 400),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
    "missing Host": (request(fields=b"X: a\r\n"), 400),
    "two Hosts": (request(fields=HOST + HOST), 400),
    "two Hosts in HTTP/1.0": (request(b"GET / HTTP/1.0", HOST + HOST), 400),
    "empty Host": (request(fields=b"Host:\r\n"), 400),
    "Host with path": (request(fields=b"Host: a/b\r\n"), 400),
    "Host with user": (request(fields=b"Host: u@a\r\n"), 400),
    "Host list": (request(fields=b"Host: a, b\r\n"), 400),
    "Host with big port": (request(fields=b"Host: a:65536\r\n"), 400),
    "Host with port of letters": (request(fields=b"Host: a:http\r\n"), 400),
    "Host that is no IPv6 address": (request(fields=b"Host: [::g]\r\n"), 400),
    "relative target": (request(b"GET a HTTP/1.1"), 400),
    "asterisk for GET": (request(b"GET * HTTP/1.1"), 400),
    "foreign scheme": (request(b"GET ftp://a/ HTTP/1.1"), 400),
    "absolute with user": (request(b"GET http://u@a/ HTTP/1.1"), 400),
    "absolute without host": (request(b"GET http:///x HTTP/1.1"), 400),
    "CONNECT without a port": (request(b"CONNECT a HTTP/1.1"), 400),
    "CONNECT to an address without a port": (request(b"CONNECT [::1] HTTP/1.1"), 400),
    "CONNECT of a path": (request(b"CONNECT /a HTTP/1.1"), 400),
    "CONNECT of a URL": (request(b"CONNECT http://a:80/ HTTP/1.1"), 400),
    "CONNECT with user": (request(b"CONNECT u@a:443 HTTP/1.1"), 400),
    "CONNECT with content": (request(b"CONNECT a:443 HTTP/1.1", HOST + b"Content-Length: 5\r\n"), 400),
    "Expect of something else": (request(fields=HOST + b"Expect: 200-ok\r\n"), 417),
    "two expectations": (request(fields=HOST + b"Expect: 100-continue, x\r\n"), 417),
    "URI over its limit": (request(b"GET /" + b"a" * 512 + b" HTTP/1.1"), 414),
    "URI without end": (b"GET /" + b"a" * 1000, 414),
    "too many fields": (request(fields=HOST + b"X: a\r\n" * 8), 431),
    "head over its limit": (request(fields=HOST + b"X: " + b"a" * 2048 + b"\r\n"), 431),
    "nominated Host": (request(fields=HOST + b"Connection: close, Host\r\n"), 400),
    "nominated Authorization": (request(fields=HOST + b"Connection: authorization\r\n"), 400),
}
POST = b"POST / HTTP/1.1"
LENGTHS = ["+5", "-5", "0x5", "0_5", "5, 5", "", "5 5", "\u00b2", "1" * 19, "5;", "5.0", "\x0b5"]
CODINGS = {
    "identity": 501,
    "xchunked": 501,
    "gzip, chunked": 501,
    "chunked, identity": 501,
    "": 400,
    '"chunked"': 400,
    "chunked;q=1": 400,
    "\x0bchunked": 400,
    "chunked\xa0": 400,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_head_is_refused_with_its_status_however_it_is_cut(name: str) -> None:
    data, status = REFUSED[name]
    assert outcome([data]) == status
    assert outcome([data[i : i + 1] for i in range(len(data))]) == status


@pytest.mark.parametrize("value", LENGTHS)
def test_content_length_is_one_to_eighteen_digits(value: str) -> None:
    line = b"Content-Length: " + value.encode("latin-1") + b"\r\n"
    assert outcome([request(POST, HOST + line)]) == 400


def test_content_length_comes_once() -> None:
    assert outcome([request(POST, HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n")]) == 400


@pytest.mark.parametrize("value", CODINGS)
def test_a_transfer_coding_other_than_chunked_is_refused(value: str) -> None:
    line = b"Transfer-Encoding: " + value.encode("latin-1") + b"\r\n"
    assert outcome([request(POST, HOST + line)]) == CODINGS[value]


def test_transfer_encoding_stands_alone_and_only_in_http_1_1() -> None:
    chunked = b"Transfer-Encoding: chunked\r\n"
    assert outcome([request(POST, HOST + chunked + chunked)]) == 400
    assert outcome([request(POST, HOST + chunked + b"Content-Length: 3\r\n")]) == 400
    assert outcome([request(b"POST / HTTP/1.0", HOST + chunked)]) == 400
    assert outcome([request(POST, HOST + b"Transfer-Encoding : chunked\r\n")]) == 400
    found = outcome([request(POST, HOST + chunked)])
    assert isinstance(found, Head)
    assert found.length is None


ACCEPTED = {
    b"GET /a?b=c HTTP/1.1": ("/a?b=c", "a.example"),
    b"GET http://B.example:8080/x?y HTTP/1.1": ("/x?y", "b.example:8080"),
    b"GET http://b.example HTTP/1.1": ("/", "b.example"),
    b"GET http://b.example?q HTTP/1.1": ("/?q", "b.example"),
    b"OPTIONS http://b.example HTTP/1.1": ("*", "b.example"),
    b"OPTIONS * HTTP/1.1": ("*", "a.example"),
    b"GET //evil/x HTTP/1.1": ("//evil/x", "a.example"),
    b"GET /%2e%2e/;x HTTP/1.1": ("/%2e%2e/;x", "a.example"),
}


@pytest.mark.parametrize("line", ACCEPTED)
def test_absolute_form_wins_over_host_and_origin_form_is_kept_byte_for_byte(line: bytes) -> None:
    found = outcome([request(line)])
    assert isinstance(found, Head)
    assert (found.target, found.authority) == ACCEPTED[line]
    assert found.headers.get("host").lower() == found.authority


def test_persistence_follows_version_and_connection() -> None:
    for line, field, keep in [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: Close\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", True),
    ]:
        found = outcome([request(line, HOST + field)])
        assert isinstance(found, Head)
        assert found.keep_alive is keep


@pytest.mark.parametrize(
    "field",
    [
        b"Range: bytes=0-",
        b"Cookie: a",
        b"Authorization: x",
        b"Cache-Control: no-cache",
        b"Pragma: no-cache",
        b"If-None-Match: x",
        b"If-Range: x",
        b"Content-Length: 0",
        b"X-Request-Id: 1",
        b"Connection: close",
    ],
)
def test_only_plain_heads_are_memorable(field: bytes) -> None:
    found = outcome([request(fields=HOST + field + b"\r\n")])
    assert isinstance(found, Head)
    assert not found.memorable
    plain = outcome([request(fields=HOST + b"Accept: */*\r\n")])
    assert isinstance(plain, Head)
    assert plain.memorable


PIECES = st.sampled_from(
    [
        b"GET ",
        b"/",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b"Host: a",
        b"Host: b:1",
        b"X: y",
        b":",
        b"Content-Length: 5",
        b"Content-Length: +5",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b" ",
        b"\x00",
        b"\xff",
        b"http://c/",
        b"a" * 300,
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=14).map(b"".join), st.data())
def test_cutting_bytes_anywhere_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    whole = outcome([data])
    assert outcome([data[i : i + 1] for i in range(len(data))]) == whole
    cut = draw.draw(st.integers(0, len(data)))
    assert outcome([data[:cut], data[cut:]]) == whole


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_request_errors(data: bytes) -> None:
    outcome([data])
    outcome([b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n"])


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_connect_names_host_and_port_and_needs_no_host_in_the_old_version(version: str) -> None:
    host = HOST if version == "1.1" else b""
    head = outcome([request(b"CONNECT Files.Example:443 HTTP/" + version.encode(), host)])
    assert isinstance(head, Head)
    assert (head.method, head.target, head.authority) == ("CONNECT", *["files.example:443"] * 2)
    assert (head.length, head.keep_alive, head.memorable) == (0, False, False)
