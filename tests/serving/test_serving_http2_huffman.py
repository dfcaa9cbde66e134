import pytest
from hypothesis import given
from hypothesis import strategies as st
from jh2.hpack.huffman import HuffmanEncoder
from jh2.hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from edgeproxy.serving import http2_huffman

ENCODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


@given(st.binary(max_size=200))
def test_what_another_has_encoded_is_read(data: bytes) -> None:
    assert http2_huffman.decode(bytes(ENCODER.encode(data))) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\x18",  # "a" and padding of zeros
        b"\x1f\xff",  # "a" and eleven ones
        b"\xff",  # eight ones: a byte too many
        b"\xff\xff\xff\xff",  # the end of the string within it
        b"\x1f\xff\xff\xff\xfc\x1f",
    ],
)
def test_padding_and_ends_of_another_form_are_refused(data: bytes) -> None:
    with pytest.raises(http2_huffman.MalformedString):
        http2_huffman.decode(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_one_string_or_refused(data: bytes) -> None:
    try:
        text = http2_huffman.decode(data)
    except http2_huffman.MalformedString:
        return
    assert bytes(ENCODER.encode(text)) == data
