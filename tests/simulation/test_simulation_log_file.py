"""Lines of a log, whatever it is compressed with and however long they are."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.simulation import log_file
from edgeproxy.simulation.log_file import LINE_BYTES_MAX, DamagedLog, lines


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"a\n" + b"x" * (LINE_BYTES_MAX + 1) + b"\nb\n", [b"a", None, b"b"]),
        (b"x" * LINE_BYTES_MAX + b"\nb\n", [b"x" * LINE_BYTES_MAX, b"b"]),
        (b"x" * 3_000_000 + b"\nb\n", [None, b"b"]),
        (b"a\n" + b"x" * 3_000_000, [b"a", None]),
    ],
)
def test_lines_are_told_apart_and_too_long_ones_are_left_out(
    content: bytes, expected: list[bytes | None]
) -> None:
    assert list(lines(io.BytesIO(content))) == expected
    assert list(lines(io.BytesIO(gzip.compress(content)))) == expected


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    st.integers(1, 9),
)
def test_it_does_not_matter_where_blocks_end(written: list[bytes], block: int) -> None:
    before = log_file.BLOCK_BYTES
    log_file.BLOCK_BYTES = block
    try:
        if written[:1] and written[0][:2] == b"\x1f\x8b":
            return
        assert list(lines(io.BytesIO(b"".join(line + b"\n" for line in written)))) == written
    finally:
        log_file.BLOCK_BYTES = before


def test_a_log_that_was_appended_to_after_compression_is_read_whole() -> None:
    assert list(lines(io.BytesIO(gzip.compress(b"a\n") + gzip.compress(b"b\n")))) == [b"a", b"b"]


def test_a_pipe_will_do() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as pipe:
            pipe.write(gzip.compress(b"a\nb\n"))

    writer = threading.Thread(target=write)
    writer.start()
    with open(reading, "rb") as pipe:
        assert list(lines(pipe)) == [b"a", b"b"]
    writer.join()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:-20], "ends early"),
        (lambda data: data[:-8] + bytes(8), "damaged"),
        (lambda data: data[:12] + b"\xff" * 40 + data[52:], "damaged"),
    ],
    ids=["cut", "checksum", "content"],
)
def test_what_a_damaged_log_gives_before_the_damage_is_given(change, why: str) -> None:  # type: ignore[no-untyped-def]
    content = b"".join(b"line %d\n" % number for number in range(200_000))
    given: list[bytes | None] = []

    def read() -> Iterator[None]:
        for line in lines(io.BytesIO(change(gzip.compress(content)))):
            given.append(line)
            yield

    with pytest.raises(DamagedLog, match=why):
        list(read())
    assert given == content.split(b"\n")[: len(given)]


def test_a_disk_that_fails_is_a_damaged_log() -> None:
    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(DamagedLog, match="Input/output error"):
        list(lines(Failing()))  # type: ignore[arg-type]
