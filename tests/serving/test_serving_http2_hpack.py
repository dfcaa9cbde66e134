from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jh2.hpack import Decoder, Encoder

from edgeproxy.message import Headers
from edgeproxy.serving.http2_frames import Code, ConnectionFault
from edgeproxy.serving.http2_hpack import FieldReader, encode_fields, encode_response

FIELD = st.tuples(st.text("abcdefgh-", min_size=1, max_size=12).map(str.encode), st.binary(max_size=60))
BIG = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000  # a field that fills the dynamic table, as entry 62


@given(st.lists(st.tuples(st.lists(FIELD, max_size=6), st.booleans(), st.sampled_from([None, 0, 100, 4096]))))
def test_blocks_of_another_encoder_are_read_in_their_order(blocks: list[Any]) -> None:
    encoder, reader = Encoder(), FieldReader(1 << 20)
    for fields, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        assert reader.read(bytes(encoder.encode(fields, huffman=huffman)))[0] == fields


@pytest.mark.parametrize(
    ("block", "changes"),
    [
        (b"\x82", False),
        (b"\x00\x01a\x01b", False),
        (b"\x10\x01a\x01b", False),
        (b"\x04\x01/", False),
        (b"\x40\x01a\x01b", True),
        (b"\x82\x44\x01/", True),
        (b"\x20\x82", True),
        (b"", False),
    ],
)
def test_it_tells_whether_the_table_has_changed(block: bytes, changes: bool) -> None:
    assert FieldReader(4096).read(block)[1] is changes


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # an entry that is not there
        b"\xff",  # an integer cut short
        b"\xff\xff\xff\xff\xff\xff\x0f",  # an integer beyond any index
        b"\x0f\xff\xff\xff\x7f",
        b"\x00",
        b"\x00\x05ab",  # a string cut short
        b"\x00\x01a",
        b"\x00\x01a\x7f\xff\xff\xff\x7f",
        b"\x00\x81\x18\x01a",  # padding of zeros
        b"\x82\x20",  # a table size update after a field
        b"\x20\x20\x20\x82",  # and more than two
        b"\x3f\xe2\x1f",  # a table of 4097 bytes
    ],
)
def test_a_malformed_block_is_an_error_of_compression(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as fault:
        FieldReader(1 << 16).read(block)
    assert fault.value.code is Code.COMPRESSION_ERROR


def test_a_small_block_cannot_become_a_large_list() -> None:
    reader = FieldReader(32 << 10)
    assert len(reader.read(BIG + b"\xbe" * 3)[0]) == 4
    with pytest.raises(ConnectionFault) as fault:
        reader.read(b"\xbe" * 16000)
    assert fault.value.code is Code.ENHANCE_YOUR_CALM


def test_the_table_is_bounded_whatever_is_inserted() -> None:
    reader = FieldReader(1 << 20)
    for _ in range(100):
        reader.read(BIG)
    assert reader._bytes <= 4096
    reader.read(b"\x40\x01a\x7f\xe1\x1f" + b"v" * 4192)  # larger than the table: it becomes empty
    assert (reader._bytes, len(reader._table)) == (0, 0)


def test_a_smaller_table_forgets_and_a_larger_one_begins_empty() -> None:
    reader = FieldReader(1 << 16)
    reader.read(b"\x40\x01a\x01b")
    reader.read(b"\x20\x3f\xe1\x1f")
    with pytest.raises(ConnectionFault):
        reader.read(b"\xbe")


@pytest.mark.parametrize("status", [200, 206, 304, 404, 421, 503])
def test_our_blocks_mean_the_same_with_any_table(status: int) -> None:
    fields = Headers([("ETag", '"1"'), ("X-New", "é"), ("set-cookie", "a=b"), ("Connection", "close")])
    block = encode_response(status, fields, length=5, date="now")
    used = Decoder()
    used.decode(Encoder().encode([(b"x", b"y")]))
    for decoder in (Decoder(), used):
        got = [(bytes(name), bytes(value)) for name, value in decoder.decode(block, True)]
        wanted = [
            (b":status", b"%d" % status),
            (b"etag", b'"1"'),
            (b"x-new", b"\xe9"),
            (b"set-cookie", b"a=b"),
            (b"date", b"now"),
        ]
        assert got == wanted + ([] if status == 304 else [(b"content-length", b"5")])


def test_a_date_that_is_there_stays() -> None:
    assert b"now" not in encode_response(200, Headers([("Date", "then")]), length=None, date="now")


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", "b\r\nc: d"), ("a", "b\nc"), ("a", "\0"), ("a b", "c"), ("a:b", "c"), ("a\n", "c")],
)
def test_a_field_that_could_be_two_is_not_sent(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        encode_fields(200, Headers([(name, value)]))


def test_trailers_have_no_status() -> None:
    block = encode_fields(0, Headers([("grpc-status", "0")]))
    assert [tuple(map(bytes, pair)) for pair in Decoder().decode(block, True)] == [(b"grpc-status", b"0")]
