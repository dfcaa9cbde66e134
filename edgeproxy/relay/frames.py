"""Frames: what goes over a socket between two processes of one node.

    length (4 bytes, little endian) | kind (1 byte) | `length` bytes

A message is MessagePack; content is bytes as they are, so that they are never encoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from edgeproxy.errors import EdgeError

MESSAGE = 0
CONTENT = 1
FRAME_BYTES_MAX = 4 << 20
_HEAD = struct.Struct("<IB")


class FrameError(EdgeError):
    """What came is no frame: the other end is not of this node, or of another version."""


def frame_head(kind: int, length: int) -> bytes:
    """What stands before `length` bytes. ValueError if they are too many for one frame."""
    if length > FRAME_BYTES_MAX:
        raise ValueError(f"a frame of {length} bytes")
    return _HEAD.pack(length, kind)


@dataclass(slots=True)
class FrameDecoder:
    """Bytes in, however cut; (kind, bytes) of whole frames out."""

    _pieces: list[bytes] = field(default_factory=list)
    _held: int = 0
    _needed: int = _HEAD.size

    @property
    def held(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return self._held

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Raises FrameError; nothing after that can be understood."""
        if self._held:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return []
            data = b"".join(self._pieces)
        frames: list[tuple[int, bytes]] = []
        at, self._needed = 0, _HEAD.size
        while len(data) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(data, at)
            if kind > CONTENT or length > FRAME_BYTES_MAX:
                raise FrameError(f"a frame of kind {kind} and {length} bytes")
            end = at + _HEAD.size + length
            if end > len(data):
                self._needed = end - at
                break
            frames.append((kind, data[at + _HEAD.size : end]))
            at = end
        rest = data[at:]
        self._pieces, self._held = [rest] if rest else [], len(rest)
        return frames
