"""The page cache: what is there is known at once, what is not can be loaded."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.serving import page_cache

SIZE = 3 << 20


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    path = tmp_path / "body"
    path.write_bytes(os.urandom(SIZE))
    return os.open(path, os.O_RDONLY)


def test_what_has_just_been_written_is_there(descriptor: int) -> None:
    assert page_cache.holds(descriptor, 0, SIZE)


def test_what_was_dropped_is_there_again_after_loading(descriptor: int) -> None:
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, SIZE, os.POSIX_FADV_DONTNEED)
    if page_cache.holds(descriptor, 0, SIZE):
        pytest.skip("this file system keeps its pages, or cannot tell")
    page_cache.load(descriptor, 0, SIZE)
    assert page_cache.holds(descriptor, 0, SIZE)


def test_a_range_beyond_the_file_is_left_to_who_sends_it(descriptor: int) -> None:
    assert page_cache.holds(descriptor, SIZE, 10)
    page_cache.load(descriptor, SIZE - 1, 10)


def test_a_closed_file_is_left_to_who_sends_it(descriptor: int) -> None:
    os.close(descriptor)
    assert page_cache.holds(descriptor, 0, 10)
    page_cache.load(descriptor, 0, 10)


def test_reading_gives_what_is_there_and_stops_at_the_end(descriptor: int) -> None:
    buffer = memoryview(bytearray(1 << 20))
    count = page_cache.read(descriptor, 100, buffer)
    if count is None:
        pytest.skip("this file system cannot tell")
    assert count
    assert bytes(buffer[:count]) == os.pread(descriptor, count, 100)
    assert page_cache.read(descriptor, SIZE, buffer) == 0


def test_reading_does_not_wait_for_the_disk(descriptor: int) -> None:
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, SIZE, os.POSIX_FADV_DONTNEED)
    if page_cache.holds(descriptor, 0, 1 << 20):
        pytest.skip("this file system keeps its pages, or cannot tell")
    count = page_cache.read(descriptor, 0, memoryview(bytearray(1 << 20)))
    assert count is None or 0 < count < 1 << 20


def test_pieces_are_gathered_without_waiting(descriptor: int) -> None:
    places = [memoryview(bytearray(1000)), memoryview(bytearray(500))]
    assert page_cache.gather(descriptor, places, SIZE - 1200) == 1200
    assert bytes(places[0]) + bytes(places[1][:200]) == os.pread(descriptor, 1200, SIZE - 1200)
    assert page_cache.gather(descriptor, places, SIZE) == 0


def test_where_the_system_cannot_tell_they_are_read_all_the_same(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.preadv

    def preadv(*arguments: Any) -> int:
        if len(arguments) > 3:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return real(*arguments)

    monkeypatch.setattr(os, "preadv", preadv)
    place = memoryview(bytearray(10))
    assert page_cache.gather(descriptor, [place], 5) == 10
    assert bytes(place) == os.pread(descriptor, 10, 5)
