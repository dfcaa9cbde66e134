"""Frames are what was framed, however the bytes are cut; anything else is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.relay.frames import CONTENT, FRAME_BYTES_MAX, MESSAGE, FrameDecoder, FrameError, frame_head

FRAMES = st.lists(st.tuples(st.sampled_from([MESSAGE, CONTENT]), st.binary(max_size=300)), max_size=8)


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 3000), max_size=12))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame_head(kind, len(content)) + content for kind, content in frames)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    decoder, found = FrameDecoder(), []
    for start, end in itertools.pairwise(edges):
        found += decoder.feed(data[start:end])
    assert found == frames
    assert decoder.held == 0


@given(data=st.binary(min_size=1, max_size=400))
def test_arbitrary_bytes_are_frames_or_refused_and_never_held_beyond_a_frame(data: bytes) -> None:
    decoder = FrameDecoder()
    try:
        for start in range(0, len(data), 7):
            decoder.feed(data[start : start + 7])
    except FrameError:
        return
    assert decoder.held <= FRAME_BYTES_MAX + 5


@pytest.mark.parametrize(
    "data", [b"\x00\x00\x00\x00\x02", b"\xff\xff\xff\xff\x00", frame_head(0, 1) + b"x" + b"\0\0\0\0\xff"]
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(data)


def test_a_frame_has_a_bound() -> None:
    frame_head(CONTENT, FRAME_BYTES_MAX)
    with pytest.raises(ValueError, match="frame"):
        frame_head(CONTENT, FRAME_BYTES_MAX + 1)
