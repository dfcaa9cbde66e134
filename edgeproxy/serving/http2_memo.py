"""Answers of the request memo as frames of HTTP/2.

A head is known by its fields, as they were decoded; within one connection also by the bytes of its field
block, as long as the dynamic table stays as it is. The stream is the only thing that differs between two
answers of the same second, so frames are kept in pieces with the stream's number left out between them."""

from __future__ import annotations

from edgeproxy.serving.http2_frames import DATA, END_HEADERS, END_STREAM, FRAME_BYTES_MIN, HEADERS, frame_head
from edgeproxy.serving.http2_hpack import RawPairs, encode_response
from edgeproxy.serving.request_memo import Remembered
from edgeproxy.serving.response_head import DateField

JOINED_BYTES = FRAME_BYTES_MIN  # content up to here is one frame, whatever the client's settings


def memo_key(pairs: RawPairs) -> bytes:
    """What byte-equal requests have in common. The fields must have been checked: they hold no LF."""
    return b"\n".join([part for pair in pairs for part in pair])


def _open(kind: int, flags: int, size: int) -> bytes:
    """The head of a frame without its stream."""
    return frame_head(kind, flags, 0, size)[:5]


class RememberedFrames(Remembered):
    """`block` is the head of the answer; `frames` are joined by the four bytes of a stream, and
    empty where the content must be cut into frames."""

    __slots__ = ("block", "frames")

    version = "2"

    block: bytes
    frames: tuple[bytes, ...]

    def build(self, now: float, date: DateField) -> None:
        self.block = encode_response(200, self.reuse.fields(now), length=len(self.data), date=date.at(now))
        if len(self.block) > FRAME_BYTES_MIN:
            self.frames = ()
        elif not self.length:
            flags = END_HEADERS | END_STREAM
            self.frames = (_open(HEADERS, flags, len(self.block)), self.block)
        elif self.length <= JOINED_BYTES:
            self.frames = (
                _open(HEADERS, END_HEADERS, len(self.block)),
                self.block + _open(DATA, END_STREAM, self.length),
                self.data,
            )
        else:
            self.frames = ()
        self.built_at = float(int(now))
        self.built_until = self.built_at + 1.0
