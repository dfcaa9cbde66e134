import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.configuration.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("10B", 10), ("512KiB", 512 << 10), ("64MiB", 64 << 20), ("1GB", 10**9),
     ("1 GiB", 1 << 30), ("1.5GiB", 3 << 29), ("2tib", 2 << 40), ("3kB", 3000), ("100GiB", 100 << 30)],
)  # fmt: skip
def test_a_size_is_read_with_its_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("10", 10.0), ("0.5", 0.5), ("500ms", 0.5), ("10s", 10.0), ("2m", 120.0), ("1h", 3600.0),
     ("7d", 604800.0), ("1.5h", 5400.0), ("100ms", 0.1)],
)  # fmt: skip
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1", "+1", "1_0", "1e3", "٣", "1MiB\n", " 1", "1  MB", "1Mb1", "64M", "0x10", "1.",
             ".5", "9" * 19, "nan", "inf"]
)  # fmt: skip
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    "text", ["", "10S", "10 sec", "10min", "-1s", "1h30m", "nan", "inf", "1e3", "10MiB", "1d\n"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 1 << 50))
def test_a_size_written_reads_back_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**9))
def test_a_duration_written_reads_back_to_the_millisecond(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.text(max_size=30))
def test_no_text_makes_the_readers_fail_otherwise(text: str) -> None:
    for read in (parse_size, parse_duration):
        with contextlib.suppress(ValueError):
            assert read(text) >= 0
