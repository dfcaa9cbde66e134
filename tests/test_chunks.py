"""Chunked content as upstreams send it; what clients may send is tested beside the server."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.chunks import BadChunks, ChunkDecoder

CASES: dict[str, tuple[bytes, bytes | None]] = {
    "one chunk": (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "padded sizes": (b"3  \r\nabc\r\n0\t\r\n\r\n", b"abc"),
    "padded extension": (b"3 ;a=b\r\nabc\r\n0\r\n\r\n", b"abc"),
    "extension and trailer": (b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n", b"abc"),
    "a thousand chunks of one byte": (b"1\r\na\r\n" * 1000 + b"0\r\n\r\n", b"a" * 1000),
    "bare LF after size": (b"3\nabc\r\n0\r\n\r\n", None),
    "bare LF after data": (b"3\r\nabc\n0\r\n\r\n", None),
    "bare LF after the last chunk": (b"3\r\nabc\r\n0\n\n", None),
    "bare LF in trailer": (b"0\r\nX: y\n\r\n", None),
    "CR in extension": (b"3;a\rb\r\nabc\r\n0\r\n\r\n", None),
    "NUL in extension": (b"3;a\0b\r\nabc\r\n0\r\n\r\n", None),
    "junk behind the size": (b"3x\r\nabc\r\n0\r\n\r\n", None),
    "padding before the size": (b" 3\r\nabc\r\n0\r\n\r\n", None),
    "size in words": (b"three\r\nabc\r\n0\r\n\r\n", None),
    "extension without end": (b"3;" + b"a" * 200, None),
}


def decoded(pieces: list[bytes]) -> bytes | None:
    """The content; None if it is refused. AssertionError if the end is not found."""
    decoder, out = ChunkDecoder(10_000, 64, is_request=False), []
    try:
        for piece in pieces:
            assert decoder.feed(piece, out) == b""
    except BadChunks:
        return None
    assert decoder.done
    return b"".join(out)


@pytest.mark.parametrize("name", CASES)
def test_chunks_of_upstreams_are_strict_however_they_are_cut(name: str) -> None:
    data, content = CASES[name]
    assert decoded([data]) == content
    assert decoded([data[i : i + 1] for i in range(len(data))]) == content


@settings(max_examples=100)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 30))
def test_what_was_put_in_chunks_comes_out_again(chunks: list[bytes], step: int) -> None:
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decoded([data[i : i + step] for i in range(0, len(data), step)]) == b"".join(chunks)


def test_too_much_content_is_told_apart() -> None:
    with pytest.raises(BadChunks) as caught:
        ChunkDecoder(10, 64, is_request=False).feed(b"b\r\n", [])
    assert caught.value.too_large
