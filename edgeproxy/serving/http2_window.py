"""How much content a client may send ahead of the handler that reads it (RFC 9113 section 5.2). Pure.

A window grows only by as much content as has been read: whoever is not read, or sends to nobody,
can make the node hold little; a bulk upload that is taken has the whole window after a few round trips."""

from __future__ import annotations

STREAM_BYTES_MIN = 256 << 10  # windows begin with these
CONNECTION_BYTES_MIN = 1 << 20


class Window:
    """Begins with `size` bytes and grows to `most`."""

    __slots__ = ("_most", "_owed", "_read", "left", "size")

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self.left = size
        self._most = max(size, most)
        self._owed = 0  # read, and not yet told to the client
        self._read = 0  # since the window grew

    def take(self, count: int) -> bool:
        """Whether the client was allowed to send `count` more."""
        self.left -= count
        return self.left >= 0

    def give(self, count: int) -> int:
        """`count` bytes were read: by how much to raise the client's window now; often 0."""
        self._owed += count
        self._read += count
        if self._read >= self.size and self.size < self._most:
            grown = min(self.size, self._most - self.size)
            self.size += grown
            self._owed += grown
            self._read = 0
        if self._owed * 4 < self.size:
            return 0
        told, self._owed = self._owed, 0
        self.left += told
        return told
