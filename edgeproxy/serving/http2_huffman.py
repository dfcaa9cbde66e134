"""The Huffman code of field blocks (RFC 7541 section 5.2 and appendix B), read strictly.

The code is canonical: the lengths of its codes tell it whole."""

from __future__ import annotations

from functools import cache

# Of the code of each byte, and of the end of a string, in bits.
_LENGTHS = (
    "13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 6 10 "
    "10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 "
    "7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 "
    "14 13 28 20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 "
    "23 24 22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 "
    "23 26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 "
    "20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30 "
)
_END = 256
_PADDING_BITS = 7


class MalformedString(ValueError):
    """Not a string in this code."""


class _Node:
    """A place in the code's tree; `symbol` where a code ends. `steps` are found once for each byte:
    for the 256 places within codes that is at most a few megabytes, for text some kilobytes."""

    __slots__ = ("is_padding", "one", "steps", "symbol", "zero")

    def __init__(self) -> None:
        self.zero: _Node | None = None
        self.one: _Node | None = None
        self.symbol: int | None = None
        self.is_padding = False  # a string may end here
        self.steps: dict[int, tuple[_Node, bytes]] = {}


@cache
def _root() -> _Node:
    lengths = [int(text) for text in _LENGTHS.split()]
    root = _Node()
    code = length = 0
    for symbol in sorted(range(len(lengths)), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        node = root
        for place in range(length - 1, -1, -1):
            name = "one" if code >> place & 1 else "zero"
            if getattr(node, name) is None:
                setattr(node, name, _Node())
            node = getattr(node, name)
        node.symbol = symbol
        code += 1
    padding: _Node | None = root
    for _ in range(_PADDING_BITS + 1):
        assert padding is not None
        padding.is_padding = True
        padding = padding.one
    return root


def _step(start: _Node, byte: int) -> tuple[_Node, bytes]:
    """Where eight more bits lead, and what they complete."""
    node, completed = start, b""
    for place in range(7, -1, -1):
        following = node.one if byte >> place & 1 else node.zero
        if following is None or following.symbol == _END:
            raise MalformedString("the end of a string within it")
        node = following
        if node.symbol is not None:
            completed += bytes((node.symbol,))
            node = _root()
    start.steps[byte] = node, completed
    return node, completed


def decode(data: bytes) -> bytes:
    """Raises MalformedString: an end within, or padding that is too long or not of ones."""
    node = _root()
    pieces = []
    for byte in data:
        node, completed = node.steps.get(byte) or _step(node, byte)
        pieces.append(completed)
    if not node.is_padding:
        raise MalformedString("malformed padding")
    return b"".join(pieces)
