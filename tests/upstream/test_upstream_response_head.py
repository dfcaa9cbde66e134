"""The strict reader of response heads, line by line."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.upstream.response_head import HeadReader, ResponseHead


def read(data: bytes, method: str = "GET") -> ResponseHead:
    reader = HeadReader(method, bytes_max=4096, fields_max=16)
    for line in data.splitlines(keepends=True) if b"\r\n" in data else [data]:
        reader.feed(line)
    assert reader.head is not None
    return reader.head


LENGTHS = [
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 7),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", None),
    ("GET", b"HTTP/1.1 200 OK\r\n\r\n", None),
    ("GET", b"HTTP/2 200 \r\ncontent-length: 0\r\n\r\n", 0),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 0),
    ("GET", b"HTTP/1.1 204 No\r\n\r\n", 0),
    ("GET", b"HTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\n", 0),
]


@pytest.mark.parametrize(("method", "data", "length"), LENGTHS)
def test_the_length_of_content_follows_method_status_and_fields(
    method: str, data: bytes, length: int | None
) -> None:
    assert read(data, method).content_length == length


def after_head(*lines: bytes) -> HeadReader:
    reader = HeadReader("GET", bytes_max=4096, fields_max=16)
    for line in (b"HTTP/2 200 \r\n", b"\r\n", *lines):
        reader.feed(line)
    return reader


def test_trailers_are_kept_but_for_those_that_change_what_came_before() -> None:
    prohibited = [
        *(b"Content-Length: 5", b"content-encoding: gzip", b"Transfer-Encoding: chunked", b"ETag: x"),
        *(b"Cache-Control: max-age=9", b"Set-Cookie: a=b", b"Vary: *", b"Via: x", b"Location: /", b"age: 1"),
        *(b"Surrogate-Key: x", b"CDN-Cache-Control: x", b"Proxy-Authenticate: x", b"connection: close"),
    ]
    for line in prohibited:
        assert after_head(line + b"\r\n").trailers.pairs == (), line
    reader = after_head(b"grpc-status: 0\r\n", b"X-Checksum:  a \r\n", b"\r\n")
    assert reader.trailers.pairs == (("grpc-status", "0"), ("X-Checksum", "a"))
    assert reader.head is not None
    assert reader.head.headers.pairs == ()


@pytest.mark.parametrize(
    "lines", [(b"X y\r\n",), (b"X: a\rb\r\n",), (b"X: y\r\n",) * 17, (b"X: " + b"y" * 5000 + b"\r\n",)]
)
def test_trailers_of_another_form_and_too_many_are_refused(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(UpstreamError):
        after_head(*lines)


@pytest.mark.parametrize(
    "line",
    [
        b"X : y\r\n",
        b" X: y\r\n",
        b"\tX: y\r\n",
        b": y\r\n",
        b"X y\r\n",
        b"X: y\n",
        b"X: y",
        b"X: a\x00b\r\n",
        b"X: a\rb\r\n",
        b"X: a\x7fb\r\n",
        b"X\xe9: y\r\n",
        b"X: a\x0bb\r\n",
        b"X: y\r\n\r\n",
    ],
)
def test_a_field_line_of_another_form_is_refused(line: bytes) -> None:
    reader = HeadReader("GET", bytes_max=4096, fields_max=16)
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(UpstreamError) as caught:
        reader.feed(line)
    assert caught.value.error is ProxyError.HTTP_PROTOCOL_ERROR


def test_a_value_loses_the_space_around_it_and_nothing_else() -> None:
    reader = HeadReader("GET", bytes_max=4096, fields_max=16)
    for line in (b"HTTP/1.1 200 OK\r\n", b"X: \t a \xa0\x85 \t\r\n", b"Y:\r\n", b"\r\n"):
        reader.feed(line)
    assert reader.head is not None
    assert reader.head.headers.pairs == (("X", "a \xa0\x85"), ("Y", ""))


def test_a_field_of_spaces_is_refused_in_linear_time() -> None:
    reader = HeadReader("GET", bytes_max=1 << 20, fields_max=16)
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    began = time.process_time()
    with pytest.raises(UpstreamError):
        reader.feed(b"X:" + b" " * 500_000 + b"\x01\r\n")
    assert time.process_time() - began < 1.0


@settings(max_examples=200)
@given(st.text(alphabet="0123456789+-_., x²", max_size=22))
def test_only_plain_digits_are_a_length(text: str) -> None:
    text = text.encode("latin-1").decode("latin-1").strip(" ")
    reader = HeadReader("GET", bytes_max=4096, fields_max=16)
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    reader.feed(b"Content-Length: " + text.encode("latin-1") + b"\r\n")
    if re.fullmatch("[0-9]{1,18}", text):
        head = reader.feed(b"\r\n")
        assert head is not None
        assert head.content_length == int(text)
    else:
        with pytest.raises(UpstreamError):
            reader.feed(b"\r\n")


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=40), max_size=12))
def test_no_line_makes_the_reader_raise_anything_but_its_own_error(lines: list[bytes]) -> None:
    reader = HeadReader("GET", bytes_max=200, fields_max=4)
    try:
        for line in (b"HTTP/1.1 200 OK\r\n", *(line + b"\r\n" for line in lines)):
            reader.feed(line)
    except UpstreamError:
        pass
