"""One connection, fed piece by piece with what a server might say."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import bodies
from benchmarks.generator import http1
from benchmarks.generator.exchange import Exchange

TARGET = bodies.path(1000, "a")
BODY = bytes(bodies.piece(TARGET, 0, 1000))
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"64\r\n%b\r\n" % BODY[:100]
    + b"384\r\n%b\r\n0\r\n\r\n" % BODY[100:]
)


class Transport:
    def __init__(self) -> None:
        self.written, self.is_closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close


class Told:
    """An owner that writes down what it is told."""

    def __init__(self) -> None:
        self.received = 0
        self.told: list[str] = []

    def opened(self, connection: Any, room: int) -> None:
        self.told.append(f"opened {room}")

    def answered(self, exchange: Exchange, now: float) -> None:
        self.told.append("answered")

    def failed(self, exchange: Exchange, kind: str) -> None:
        self.told.append(kind)

    def freed(self, connection: Any) -> None:
        self.told.append("freed")

    def lost(self, connection: Any) -> None:
        self.told.append("lost")


def asked(pieces: list[bytes], *, ends: bool = False, status: int = 200) -> tuple[list[str], Told]:
    """Ask for TARGET, have `pieces` come; what the owner was told since."""
    owner, buffer, transport = Told(), bytearray(http1.BUFFER_BYTES), Transport()
    connection = http1.Http1Connection(owner, buffer, status)
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.ask(Exchange(http1.wanted("http://h:1", TARGET, ()), 0.0, True))
    assert transport.written == b"GET /b/1000/a HTTP/1.1\r\nHost: h:1\r\n\r\n"
    for piece in pieces:
        view = connection.get_buffer(-1)
        view[: len(piece)] = piece
        connection.buffer_updated(len(piece))
        if transport.is_closed:
            break
    if ends:
        connection.eof_received()
    if ends or transport.is_closed:
        connection.connection_lost(None)
    return owner.told[1:], owner


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted({place % len(whole) for place in places} - {0}), len(whole)]
    return [whole[begin:end] for begin, end in pairwise(at)]


@given(st.sampled_from([WHOLE, CHUNKED]), st.lists(st.integers(0, 2000), max_size=12))
def test_a_right_answer_is_right_however_it_is_cut(whole: bytes, places: list[int]) -> None:
    told, owner = asked(cut(whole, places))
    assert (told, owner.received) == (["answered", "freed"], 1000)


@given(st.sampled_from([WHOLE, CHUNKED]), st.integers(0, 999), st.lists(st.integers(0, 2000), max_size=6))
def test_one_wrong_byte_is_seen_wherever_it_is(whole: bytes, at: int, places: list[int]) -> None:
    wrong = bytearray(whole)
    begin = len(whole) - 1000 if whole is WHOLE else whole.index(BODY[:100])
    beyond = 7 if whole is CHUNKED and at >= 100 else 0  # CRLF, 384, CRLF
    wrong[begin + at + beyond] ^= 1
    assert asked(cut(bytes(wrong), places))[0] == ["wrong bytes", "freed"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", ["status 503", "freed"]),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", ["wrong bytes", "freed"]),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, ["answered", "freed"]),
        (WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1), ["answered", "lost"]),
        (WHOLE + b"more", ["wrong bytes", "lost"]),
        (WHOLE.replace(b"1000", b"10x0", 1), ["malformed answer", "lost"]),
        (b"SSH-2.0\r\n\r\n", ["malformed answer", "lost"]),
        (CHUNKED.replace(b"64\r\n", b"zz\r\n", 1), ["malformed answer", "lost"]),
        (b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n", ["malformed answer", "lost"]),
    ],
)
def test_what_else_a_server_says(answer: bytes, told: list[str]) -> None:
    assert asked([answer])[0] == told


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", ["closed before an answer", "lost"]),
        (WHOLE[:-1], ["closed within an answer", "lost"]),
        (CHUNKED[:-1], ["closed within an answer", "lost"]),
        (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, ["answered", "lost"]),
        (b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:-1], ["wrong bytes", "lost"]),
    ],
)
def test_an_end_is_an_answer_only_where_the_end_of_the_connection_is_the_end_of_the_body(
    answer: bytes, told: list[str]
) -> None:
    assert asked([answer] if answer else [], ends=True)[0] == told


def test_a_status_that_was_expected_is_right() -> None:
    owner, _ = asked([b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n" + BODY], status=404)
    assert owner == ["answered", "freed"]
