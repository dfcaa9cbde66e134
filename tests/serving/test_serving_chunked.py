from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.errors import RequestError
from edgeproxy.serving.chunked import ChunkDecoder, LengthDecoder


def decoded(pieces: list[bytes], most: int = 1000, overhead: int = 64) -> tuple[bytes, object]:
    """Content, and then: the status of a refusal, what follows the content, or None for more to come."""
    decoder, out = ChunkDecoder(most, overhead), []
    try:
        for index, piece in enumerate(pieces):
            rest = decoder.feed(piece, out)
            if decoder.done:
                return b"".join(out), rest + b"".join(pieces[index + 1 :])
    except RequestError as error:
        return b"".join(out), error.status
    return b"".join(out), None


CASES = {
    "one chunk": (b"3\r\nabc\r\n0\r\n\r\n", b"abc", b""),
    "what follows is left": (b"3\r\nabc\r\n0\r\n\r\nGET", b"abc", b"GET"),
    "extension dropped": (b"3;a=b\r\nabc\r\n0;c\r\n\r\n", b"abc", b""),
    "trailer dropped": (b"0\r\nX: y\r\n\r\n", b"", b""),
    "upper-case size": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
    "bare LF after size": (b"3\nabc\r\n0\r\n\r\n", b"", 400),
    "bare LF after data": (b"3\r\nabc\n0\r\n\r\n", b"abc", 400),
    "bare LF in extension": (b"3;a\nabc\r\n0\r\n\r\n", b"", 400),
    "bare CR in extension": (b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"", 400),
    "longer than its size": (b"3\r\nabcd\r\n0\r\n\r\n", b"abc", 400),
    "sign": (b"+3\r\nabc\r\n", b"", 400),
    "prefix": (b"0x3\r\nabc\r\n", b"", 400),
    "underscore": (b"0_3\r\nabc\r\n", b"", 400),
    "space before size": (b" 3\r\nabc\r\n", b"", 400),
    "space after size": (b"3 \r\nabc\r\n", b"", 400),
    "empty size": (b"\r\nabc\r\n", b"", 400),
    "overflow": (b"1" * 17 + b"\r\n", b"", 400),
    "malformed trailer": (b"0\r\nX y\r\n\r\n", b"", 400),
    "folded trailer": (b"0\r\nX: y\r\n z\r\n\r\n", b"", 400),
    "too much content": (b"3e9\r\n", b"", 413),
    "extension without end": (b"3;" + b"a" * 200, b"", 400),
    "extensions together": (b"1;aaaaaaaaaaaaaaaaaaaa\r\na\r\n" * 20, b"aaa", 400),
    "trailers together": (b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 20, b"", 400),
    "one-byte chunks": (b"1\r\na\r\n" * 500, b"a" * 27, 400),
    "not finished": (b"3\r\nab", b"ab", None),
}


@pytest.mark.parametrize("name", CASES)
def test_chunks_are_strict_and_bounded_however_they_are_cut(name: str) -> None:
    data, content, after = CASES[name]
    assert decoded([data])[1] == after
    assert decoded([data]) == decoded([data[i : i + 1] for i in range(len(data))])
    if after != 400:
        assert decoded([data])[0] == content


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"3", b"\r\n", b"\n", b"abc", b"0", b";x", b"X: y", b"1", b"a", b"\r", b"3\r\nabc\r\n"]
        ),
        max_size=16,
    ).map(b"".join),
    st.data(),
)
def test_cutting_anywhere_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    assert decoded([data[:cut], data[cut:]]) == decoded([data])
    assert decoded([data[i : i + 1] for i in range(len(data))]) == decoded([data])


def test_content_of_known_length_ends_there() -> None:
    decoder, out = LengthDecoder(5), []
    assert decoder.feed(b"abc", out) == b""
    assert not decoder.done
    assert decoder.feed(b"deGET", out) == b"GET"
    assert (decoder.done, b"".join(out)) == (True, b"abcde")
