"""Field blocks of HTTP/2 (HPACK, RFC 7541): theirs to fields, ours from fields.

Reading needs the dynamic table that the client steers, and is strict: whatever another reader could take
for other fields ends the connection. What we write uses the static table only, so a block means the
same on every connection and can be kept."""

from __future__ import annotations

from collections import deque

from edgeproxy.message import Headers
from edgeproxy.serving import http2_huffman
from edgeproxy.serving.http2_frames import Code, ConnectionFault
from edgeproxy.serving.http2_static import STATIC
from edgeproxy.serving.response_head import FRAMING_FIELDS, announces_length

TABLE_UPDATE = b"\x20"  # sets the table of our blocks to size 0
TABLE_BYTES = 4096  # the dynamic table that clients may fill, unless settings tell otherwise
_ENTRY_BYTES = 32  # that each field counts beyond its own (section 4.1)
_INTEGER_BITS_MAX = 28
_UPDATES_MAX = 2  # section 4.2: no encoder needs more

RawPairs = list[tuple[bytes, bytes]]

_STATUS = {200: b"\x88", 204: b"\x89", 206: b"\x8a", 304: b"\x8b", 400: b"\x8c", 404: b"\x8d", 500: b"\x8e"}


def _integer(value: int, prefix: int, first: int) -> bytes:
    """RFC 7541 section 5.1: `value` with a prefix of so many bits, `first` the bits before it."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((first | value,))
    encoded = bytearray((first | most,))
    value -= most
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_NAMES: dict[str, bytes] = {
    name.decode("ascii"): _integer(index, 4, 0) for index, (name, _) in reversed(list(enumerate(STATIC, 1)))
}
_NEVER_INDEXED = {"set-cookie": _integer(55, 4, 0x10)}


def _literal(name: str, value: str) -> bytes:
    """A literal without indexing (section 6.2.2). ValueError if the value cannot be sent."""
    if "\r" in value or "\n" in value or "\0" in value:
        raise ValueError("a response field holds a line break or NUL")
    named = _NEVER_INDEXED.get(name) or _NAMES.get(name)
    if named is None:
        raw = name.encode("latin-1")
        if any(byte <= 32 or byte >= 127 or byte == 58 for byte in raw):
            raise ValueError("a response field has a name that cannot be sent")
        named = b"\0" + _integer(len(raw), 7, 0) + raw
    encoded = value.strip(" \t").encode("latin-1")
    return named + _integer(len(encoded), 7, 0) + encoded


def encode_fields(status: int, headers: Headers) -> bytes:
    """The block of a response head as it is, without Date and Content-Length. Status 0: a block of
    trailers. ValueError if a field cannot be sent."""
    parts = []
    if status:
        parts.append(_STATUS.get(status) or b"\x08\x03%03d" % status)
    for name, value in headers:
        lower = name.lower()
        if lower not in FRAMING_FIELDS:
            parts.append(_literal(lower, value))
    return b"".join(parts)


def encode_response(status: int, headers: Headers, *, length: int | None, date: str) -> bytes:
    """The block of a response head with Date and, where it may be told, Content-Length. ValueError
    if a field cannot be sent."""
    block = encode_fields(status, headers)
    if "date" not in headers:
        block += _literal("date", date)
    if length is not None and announces_length(status):
        block += _literal("content-length", str(length))
    return block


class FieldReader:
    """Reads the field blocks of one connection, in their order. A list of fields may have `most`
    bytes, counting 32 more for each field."""

    __slots__ = ("_bytes", "_bytes_max", "_most", "_table")

    def __init__(self, most: int) -> None:
        self._most = most
        self._table: deque[tuple[bytes, bytes]] = deque()  # the newest first
        self._bytes = 0
        self._bytes_max = TABLE_BYTES

    def read(self, block: bytes) -> tuple[RawPairs, bool]:
        """The fields, and whether the dynamic table has changed. Raises ConnectionFault: the state of
        the table is unknown then."""
        try:
            return self._read(block)
        except (IndexError, http2_huffman.MalformedString):
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a malformed field block") from None

    def _read(self, block: bytes) -> tuple[RawPairs, bool]:
        pairs: RawPairs = []
        at, end, size, updates, changed = 0, len(block), 0, 0, False
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _read_integer(block, at, 0x7F)
                pair = self._entry(index)
            elif first & 0xE0 == 0x20:
                updates += 1
                if pairs or updates > _UPDATES_MAX:
                    raise ConnectionFault(Code.COMPRESSION_ERROR, "a table size update out of place")
                bytes_max, at = _read_integer(block, at, 0x1F)
                self._resize(bytes_max)
                changed = True
                continue
            else:
                index, at = _read_integer(block, at, 0x3F if first & 0x40 else 0x0F)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _read_string(block, at)
                value, at = _read_string(block, at)
                pair = (name, value)
                if first & 0x40:
                    self._insert(pair)
                    changed = True
            size += len(pair[0]) + len(pair[1]) + _ENTRY_BYTES
            if size > self._most:
                raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a list of fields beyond any limit")
            pairs.append(pair)
        return pairs, changed

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        """Section 2.3.3. IndexError if there is no such entry."""
        if index <= len(STATIC):
            if not index:
                raise IndexError
            return STATIC[index - 1]
        return self._table[index - len(STATIC) - 1]

    def _insert(self, pair: tuple[bytes, bytes]) -> None:
        self._table.appendleft(pair)
        self._bytes += len(pair[0]) + len(pair[1]) + _ENTRY_BYTES
        self._evict()

    def _resize(self, bytes_max: int) -> None:
        if bytes_max > TABLE_BYTES:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a table larger than allowed")
        self._bytes_max = bytes_max
        self._evict()

    def _evict(self) -> None:
        while self._bytes > self._bytes_max:
            name, value = self._table.pop()
            self._bytes -= len(name) + len(value) + _ENTRY_BYTES


def _read_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The integer at `at` and where it ends. IndexError if it is cut short."""
    value = block[at] & mask
    at += 1
    if value != mask:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift >= _INTEGER_BITS_MAX:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "an integer too large")


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    """The string at `at` and where it ends. IndexError if it is cut short."""
    coded = block[at] & 0x80
    length, at = _read_integer(block, at, 0x7F)
    stop = at + length
    if stop > len(block):
        raise IndexError
    text = block[at:stop]
    return (http2_huffman.decode(text) if coded else text), stop
