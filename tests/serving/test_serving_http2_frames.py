import struct

import pytest

from edgeproxy.serving import http2_frames as frames
from edgeproxy.serving.http2_frames import Code, ConnectionFault


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (b"\0\x04\0\0\0", Code.FRAME_SIZE_ERROR),
        (struct.pack(">HI", 2, 2), Code.PROTOCOL_ERROR),
        (struct.pack(">HI", 4, 1 << 31), Code.FLOW_CONTROL_ERROR),
        (struct.pack(">HI", 5, (1 << 14) - 1), Code.PROTOCOL_ERROR),
        (struct.pack(">HI", 5, 1 << 24), Code.PROTOCOL_ERROR),
        (struct.pack(">HI", 9, 2), Code.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_their_range_end_the_connection(values: bytes, code: Code) -> None:
    with pytest.raises(ConnectionFault) as fault:
        frames.parse_settings(values)
    assert fault.value.code is code


def test_settings_are_given_in_their_order_the_unknown_too() -> None:
    values = {frames.INITIAL_WINDOW: 7, frames.FRAME_MAX: 1 << 20, 77: 1}
    assert frames.parse_settings(frames.settings_frame(values)[9:]) == list(values.items())


@pytest.mark.parametrize(
    ("payload", "content"),
    [(b"\0ab", b"ab"), (b"\x02ab\0\0", b"ab"), (b"\x02\0\0", b""), (b"\0", b"")],
)
def test_padding_is_taken_off(payload: bytes, content: bytes) -> None:
    assert frames.unpadded(payload) == content


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05ab\0\0"])
def test_padding_that_does_not_fit_ends_the_connection(payload: bytes) -> None:
    with pytest.raises(ConnectionFault):
        frames.unpadded(payload)


@pytest.mark.parametrize(
    ("size", "kinds"),
    [(10, [1]), (16384, [1]), (16385, [1, 9]), (40000, [1, 9, 9])],
)
def test_a_block_larger_than_a_frame_continues(size: int, kinds: list[int]) -> None:
    data = frames.headers_frames(5, bytes(size), 16384, ends_stream=True)
    seen, flags, content = [], [], 0
    while data:
        length = int.from_bytes(data[:3], "big")
        assert data[5:9] == b"\0\0\0\x05"
        seen.append(data[3])
        flags.append(data[4])
        content += length
        data = data[9 + length :]
    assert seen == kinds
    assert content == size
    assert flags[0] & frames.END_STREAM
    assert [bool(flag & frames.END_HEADERS) for flag in flags] == [False] * (len(kinds) - 1) + [True]


def test_the_reserved_bit_is_ignored() -> None:
    assert frames.number(b"\x80\0\0\x07") == 7
    assert frames.depends_on(b"\x80\0\0\x07\xff") == 7
