"""One connection of HTTP/2, fed with frames that jh2, an implementation of others, has made."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jh2.config import H2Configuration
from jh2.connection import H2Connection
from jh2.events import DataReceived, RequestReceived, StreamEnded, StreamReset

from benchmarks import bodies, records
from benchmarks.generator import Plan, grpc, http1, http2
from benchmarks.generator.exchange import Exchange, Wanted

TARGET = bodies.path(30_000, "a")
BODY = bytes(bodies.piece(TARGET, 0, 30_000))
RECORD = records.path(3, "numpy")
URL = "http://h:1"


class Transport:
    def __init__(self) -> None:
        self.written, self.is_closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True


class Pair:
    """A connection of the generator and jh2 as its server; also the owner, writing down what it is told."""

    def __init__(self, **given: Any) -> None:
        self.received = 0
        self.told: list[str] = []
        self._transport = Transport()
        target = RECORD if given.get("protocol") == "grpc" else TARGET
        plan = Plan(URL, (target,), **({"protocol": "h2", "streams": 4} | given))
        self.connection = http2.Http2Connection(self, bytearray(http1.BUFFER_BYTES), plan)
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.initiate_connection()
        self.events: list[Any] = []
        self.connection.connection_made(self._transport)  # type: ignore[arg-type]
        self.pass_on()

    def pass_on(self, places: list[int] | None = None) -> None:
        """What each has said reaches the other, until both are silent."""
        while True:
            said, self._transport.written = self._transport.written, b""
            if said:
                self.events += self.server.receive_data(said)
            answer = self.server.data_to_send()
            if not said and not answer:
                return
            at = [0, *sorted({place % max(1, len(answer)) for place in places or ()} - {0}), len(answer)]
            for begin, end in pairwise(at):
                self.feed(answer[begin:end])

    def feed(self, data: bytes) -> None:
        while data:
            view = self.connection.get_buffer(-1)
            piece, data = data[: len(view)], data[len(view) :]
            view[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    def ask(self, wanted: Wanted) -> int:
        self.connection.ask(Exchange(wanted, 0.0, True))
        self.pass_on()
        return int(self.seen(RequestReceived)[-1].stream_id)

    def seen(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    # exchange.Owner

    def opened(self, connection: Any, room: int) -> None:
        self.told.append(f"opened {room}")

    def answered(self, exchange: Exchange, now: float) -> None:
        self.told.append("answered")

    def failed(self, exchange: Exchange, kind: str) -> None:
        self.told.append(kind)

    def refused(self, exchange: Exchange) -> None:
        self.told.append("refused")

    def freed(self, connection: Any) -> None:
        self.told.append("freed")

    def lost(self, connection: Any) -> None:
        self.told.append("lost")


def body() -> Wanted:
    return http2.wanted(URL, TARGET, (("accept", "*/*"),))


def call() -> Wanted:
    return grpc.wanted(URL, RECORD, ())


def answer(pair: Pair, stream: int, *, content: bytes = BODY, places: list[int] | None = None) -> None:
    pair.server.send_headers(stream, [(":status", "200"), ("content-length", str(len(content)))])
    for at in range(0, len(content), 10_000):
        pair.server.send_data(stream, content[at : at + 10_000], pad_length=5 if at else None)
    pair.server.end_stream(stream)
    pair.pass_on(places)


def test_a_request_is_what_another_reads() -> None:
    pair = Pair()
    pair.ask(body())
    (asked,) = pair.seen(RequestReceived)
    assert [tuple(pair) for pair in asked.headers] == [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "h:1"),
        (":path", TARGET),
        ("accept", "*/*"),
    ]
    assert pair.seen(StreamEnded)
    assert pair.told == ["opened 4"]


@given(st.lists(st.integers(0, 40_000), max_size=12))
def test_a_right_answer_is_right_however_it_is_cut(places: list[int]) -> None:
    pair = Pair()
    answer(pair, pair.ask(body()), places=places)
    assert pair.told == ["opened 4", "answered", "freed"]
    assert pair.received == 30_000


@given(st.integers(0, 29_999), st.lists(st.integers(0, 40_000), max_size=6))
def test_one_wrong_byte_is_seen_wherever_it_is(at: int, places: list[int]) -> None:
    pair, wrong = Pair(), bytearray(BODY)
    wrong[at] ^= 1
    answer(pair, pair.ask(body()), content=bytes(wrong), places=places)
    assert pair.told[1:] == ["wrong bytes", "freed"]


def test_a_body_too_short_is_wrong() -> None:
    pair = Pair()
    answer(pair, pair.ask(body()), content=BODY[:-1])
    assert pair.told[1:] == ["wrong bytes", "freed"]


def test_fields_from_the_dynamic_table_are_read_anew_each_time() -> None:
    """The same block may mean something else once the table has changed."""
    pair = Pair()
    for etag in ("a", "a", "b", "a"):
        stream = pair.ask(body())
        pair.server.send_headers(stream, [(":status", "200"), ("x-changing", etag)])
        pair.server.send_data(stream, BODY[:16_000])
        pair.server.send_data(stream, BODY[16_000:], end_stream=True)
        pair.pass_on()
    assert pair.told[1:] == ["answered", "freed"] * 4


def test_the_status_is_told_when_it_is_not_the_one_expected() -> None:
    pair = Pair()
    pair.server.send_headers(pair.ask(body()), [(":status", "503")], end_stream=True)
    pair.pass_on()
    assert pair.told[1:] == ["status 503", "freed"]


@pytest.mark.parametrize(
    ("status", "told"), [("0", "answered"), ("14", "grpc-status 14"), (None, "grpc-status missing")]
)
def test_a_call_is_answered_by_its_message_and_its_trailers(status: str | None, told: str) -> None:
    pair = Pair(protocol="grpc")
    stream = pair.ask(call())
    assert b"".join(event.data for event in pair.seen(DataReceived)) == records.framed(
        records.request_message(RECORD)
    )
    pair.server.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    pair.server.send_data(stream, records.framed(records.as_message(RECORD)))
    trailers = [("grpc-status", status)] if status else [("grpc-message", "none")]
    pair.server.send_headers(stream, trailers, end_stream=True)
    pair.pass_on()
    assert pair.told[1:] == [told, "freed"]


def test_more_content_than_the_window_waits_for_the_window() -> None:
    pair = Pair(protocol="grpc")
    large = Wanted(RECORD, call().head, bytes(16_000))
    for _ in range(5):
        pair.connection.ask(Exchange(large, 0.0, True))
    pair.pass_on()
    assert len(pair.seen(StreamEnded)) == 4  # of 65 535 bytes
    pair.server.increment_flow_control_window(16_000)
    pair.pass_on()
    assert len(pair.seen(StreamEnded)) == 5


def test_what_the_server_refuses_is_handed_back_and_what_it_resets_has_failed() -> None:
    pair = Pair()
    pair.server.reset_stream(pair.ask(body()), 7)
    pair.server.reset_stream(pair.ask(body()), 2)
    pair.pass_on()
    assert pair.told[1:] == ["refused", "freed", "reset with code 2", "freed"]


def test_after_goaway_what_was_begun_is_waited_for_and_nothing_more_asked() -> None:
    pair = Pair()
    first = pair.ask(body())
    pair.ask(body())
    pair.server.close_connection(0, last_stream_id=first)
    pair.pass_on()
    assert pair.told[1:] == ["refused"]
    assert not pair.connection.is_open
    head = b"\x00\x00\x01\x01\x04" + first.to_bytes(4, "big") + b"\x88"
    pair.feed(head + b"\x00\x30\x00\x00\x00" + first.to_bytes(4, "big") + BODY[:0x3000])
    rest = BODY[0x3000:]
    for at in range(0, len(rest), 0x3000):
        piece = rest[at : at + 0x3000]
        flags = bytes([at + 0x3000 >= len(rest)])
        pair.feed(len(piece).to_bytes(3, "big") + b"\0" + flags + first.to_bytes(4, "big") + piece)
    assert pair.told[1:] == ["refused", "answered"]


def test_who_gives_up_resets_its_stream_and_reads_on() -> None:
    pair = Pair()
    exchange = Exchange(body(), 0.0, True)
    pair.connection.ask(exchange)
    pair.pass_on()
    pair.connection.give_up(exchange)
    pair.pass_on()
    assert [event.error_code for event in pair.seen(StreamReset)] == [8]
    answer(pair, pair.ask(body()))
    assert pair.told[1:] == ["freed", "answered", "freed"]


def test_an_end_fails_what_is_under_way() -> None:
    pair = Pair()
    pair.server.send_headers(pair.ask(body()), [(":status", "200")])
    pair.pass_on()
    pair.ask(body())
    pair.connection.connection_lost(None)
    assert pair.told[1:] == ["closed within an answer", "closed before an answer", "lost"]


@pytest.mark.parametrize(
    "frames",
    [
        b"\x00\x40\x01\x00\x00\x00\x00\x00\x01",  # larger than allowed
        b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\xff",  # an index of no field
        b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88"
        + b"\x00\x00\x00\x00\x00\x00\x00\x00\x01",  # no CONTINUATION
        b"\x00\x00\x04\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02",  # a push
    ],
)
def test_frames_that_are_none_end_the_connection(frames: bytes) -> None:
    pair = Pair()
    pair.ask(body())
    pair.feed(frames)
    assert pair.told[1:] == ["malformed answer"]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=400))
def test_a_target_of_any_length_is_read_as_it_was_meant(target: str) -> None:
    pair = Pair()
    pair.ask(http2.wanted(URL, "/" + target, ()))
    assert dict(tuple(field) for field in pair.seen(RequestReceived)[0].headers)[":path"] == "/" + target
