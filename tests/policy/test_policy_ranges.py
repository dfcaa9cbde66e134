from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.ranges import (
    Parsed,
    Slices,
    Unsatisfiable,
    Whole,
    content_range,
    multipart_end,
    parse,
    part_head,
)


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("bytes=0-0", 10, Slices(((0, 1),))),
        ("BYTES=2-", 10, Slices(((2, 10),))),
        ("bytes=-3", 10, Slices(((7, 10),))),
        ("bytes=-30", 10, Slices(((0, 10),))),
        ("bytes=5-99999999999999999999999999", 10, Slices(((5, 10),))),
        ("bytes=0-1, 4-5", 10, Slices(((0, 2), (4, 6)))),
        ("bytes=7-8,0-1", 10, Slices(((7, 9), (0, 2)))),
        ("bytes=0-3,2-5", 10, Slices(((0, 6),))),
        ("bytes=0-3,4-5", 10, Slices(((0, 6),))),
        ("bytes=0-1,50-", 10, Slices(((0, 2),))),
        ("bytes=10-", 10, Unsatisfiable()),
        ("bytes=-0", 10, Unsatisfiable()),
        ("bytes=0-", 0, Unsatisfiable()),
        ("bytes=-5", 0, Whole()),
        ("bytes=0-9,0-9", 10, Whole()),
        ("bytes=5-2", 10, Whole()),
        ("bytes=0-1,5-2", 10, Whole()),
        ("bytes=a-b", 10, Whole()),
        ("bytes=-", 10, Whole()),
        ("bytes=", 10, Whole()),
        ("bytes=1-2-3", 10, Whole()),
        ("bytes=+1-2", 10, Whole()),
        ("bytes=\u00b2-3", 10, Whole()),
        ("bytes 0-1", 10, Whole()),
        ("items=0-1", 10, Whole()),
        ("bytes=0-1,2-2,4-4,6-6,8-8", 10, Whole()),
        ("bytes=" + "0-0," * 4000, 10, Whole()),
    ],
)
def test_range_fields(text: str, size: int, expected: Parsed) -> None:
    assert parse(text, size, 4) == expected


_NUMBER = st.one_of(st.just(""), st.integers(0, 40).map(str))
_SPEC = st.builds(lambda first, last: f"{first}-{last}", _NUMBER, _NUMBER)


@given(st.lists(_SPEC, min_size=1, max_size=6), st.integers(0, 30))
@settings(max_examples=200)
def test_slices_lie_within_are_disjoint_and_hold_what_was_asked(specs: list[str], size: int) -> None:
    found = parse("bytes=" + ",".join(specs), size, 6)
    if not isinstance(found, Slices):
        return
    given_bytes = [byte for start, end in found.slices for byte in range(start, end)]
    assert len(given_bytes) == len(set(given_bytes)) <= size
    wanted: set[int] = set()
    for spec in specs:
        first, _, last = spec.partition("-")
        if first:
            wanted |= set(range(int(first), min(int(last) + 1 if last else size, size)))
        else:
            wanted |= set(range(max(0, size - int(last)), size))
    assert set(given_bytes) == wanted


@given(st.text(max_size=40), st.integers(0, 100))
@settings(max_examples=150)
def test_no_text_makes_it_raise(text: str, size: int) -> None:
    parse(text, size, 16)
    parse("bytes=" + text, size, 16)


def test_a_multipart_body_is_framed_as_rfc_9110_says() -> None:
    body, slices = b"0123456789", ((0, 2), (7, 9))
    made = b"".join(part_head("B", "text/plain", part, 10) + body[part[0] : part[1]] for part in slices)
    made += multipart_end("B")
    assert made.startswith(
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--B"
    )
    assert made.endswith(b"78\r\n--B--\r\n")


def test_content_range_of_a_416_tells_the_size() -> None:
    assert content_range(None, 7) == "bytes */7"
