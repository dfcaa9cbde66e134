"""Field blocks of HTTP/2 (HPACK, RFC 7541): theirs to fields, ours from fields.

Reading needs the dynamic table that the client steers; the decoding itself is jh2's. What we write
uses the static table only, so a block means the same on every connection and can be kept."""

from __future__ import annotations

from typing import Any

from edgeproxy.message import Headers
from edgeproxy.serving.http2_frames import Code, ConnectionFault
from edgeproxy.serving.response_head import FRAMING_FIELDS, announces_length

try:
    from jh2._hazmat import Decoder, HPACKError, OversizedHeaderListError
except ImportError:  # the wheel without native code
    from jh2.hpack import Decoder, HPACKError, OversizedHeaderListError

TABLE_UPDATE = b"\x20"  # sets the table of our blocks to size 0
_FIELDS_MAX = 4096  # representations in one block, far beyond any limit on fields
_UPDATES_MAX = 2  # RFC 7541 section 4.2: no encoder needs more

RawPairs = list[tuple[bytes, bytes]]

# RFC 7541 appendix A: the first index of each name.
_STATIC = {
    "accept-charset": 15,
    "accept-encoding": 16,
    "accept-language": 17,
    "accept-ranges": 18,
    "accept": 19,
    "access-control-allow-origin": 20,
    "age": 21,
    "allow": 22,
    "authorization": 23,
    "cache-control": 24,
    "content-disposition": 25,
    "content-encoding": 26,
    "content-language": 27,
    "content-length": 28,
    "content-location": 29,
    "content-range": 30,
    "content-type": 31,
    "cookie": 32,
    "date": 33,
    "etag": 34,
    "expect": 35,
    "expires": 36,
    "from": 37,
    "host": 38,
    "if-match": 39,
    "if-modified-since": 40,
    "if-none-match": 41,
    "if-range": 42,
    "if-unmodified-since": 43,
    "last-modified": 44,
    "link": 45,
    "location": 46,
    "max-forwards": 47,
    "proxy-authenticate": 48,
    "proxy-authorization": 49,
    "range": 50,
    "referer": 51,
    "refresh": 52,
    "retry-after": 53,
    "server": 54,
    "set-cookie": 55,
    "strict-transport-security": 56,
    "transfer-encoding": 57,
    "user-agent": 58,
    "vary": 59,
    "via": 60,
    "www-authenticate": 61,
}
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


_NAMES: dict[str, bytes] = {name: _integer(index, 4, 0) for name, index in _STATIC.items()}
_NEVER_INDEXED = {"set-cookie": _integer(_STATIC["set-cookie"], 4, 0x10)}


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
    """Reads the field blocks of one connection, in their order. A list of fields may have
    `most` bytes, 32 more for each field (RFC 7541 section 4.1)."""

    __slots__ = ("_decoder",)

    def __init__(self, most: int) -> None:
        self._decoder: Any = Decoder(most)

    def read(self, block: bytes) -> tuple[RawPairs, bool]:
        """The fields, and whether the dynamic table may have changed. Raises ConnectionFault."""
        changes = changes_table(block)
        try:
            decoded = self._decoder.decode(block, True)
        except OversizedHeaderListError:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a list of fields beyond any limit") from None
        except HPACKError as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, str(error)) from None
        return [(pair[0], pair[1]) for pair in decoded], changes


def changes_table(block: bytes) -> bool:
    """Whether reading `block` changes the dynamic table. Raises ConnectionFault if it changes
    the table's size anywhere but at its start, or has too many fields."""
    at, end = 0, len(block)
    fields = updates = 0
    changes = False
    while at < end:
        first = block[at]
        if first & 0xE0 == 0x20:
            updates += 1
            changes = True
            if fields or updates > _UPDATES_MAX:
                raise ConnectionFault(Code.COMPRESSION_ERROR, "a table size update out of place")
            at = _after_integer(block, at, 0x1F)
            continue
        fields += 1
        if fields > _FIELDS_MAX:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many fields")
        if first & 0x80:
            at = _after_integer(block, at, 0x7F)
            continue
        prefix = 0x3F if first & 0x40 else 0x0F
        changes = changes or prefix == 0x3F
        at = _after_integer(block, at, prefix)
        if not first & prefix:
            at = _after_string(block, at)
        at = _after_string(block, at)
    return changes


def _after_integer(block: bytes, at: int, mask: int) -> int:
    """Where the integer at `at` ends. What is cut short is the decoder's to refuse."""
    if block[at] & mask != mask:
        return at + 1
    at += 1
    while at < len(block) and block[at] & 0x80:
        at += 1
    return at + 1


def _after_string(block: bytes, at: int) -> int:
    if at >= len(block):
        return at
    length = block[at] & 0x7F
    if length != 0x7F:
        return at + 1 + length
    shift = 0
    at += 1
    while at < len(block):
        byte = block[at]
        at += 1
        length += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 28:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "an integer too large")
    return at + length
