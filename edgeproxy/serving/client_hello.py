"""What a TLS client says first: the name it wants, the protocols and the versions it offers. Pure.

Only enough of RFC 8446 section 4.1.2 is read to choose a certificate and to refuse with the right alert
what no handshake could bring to an end; whether the message is well-formed is for the TLS library."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from edgeproxy.errors import EdgeError

HELLO_BYTES_MAX = 16 << 10  # of records; what clients send has 200 to 2000 bytes

_HANDSHAKE = 22  # content type of a record
_CLIENT_HELLO = 1
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43  # extensions
_EXTENSION = struct.Struct(">HH").unpack_from
_NAME = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")


class NotTls(EdgeError):
    """The bytes do not begin a TLS handshake."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_name` is in lower case without a dot at the end, "" if none was sent. `version` is the
    highest offered, as on the wire (0x0303 for 1.2, 0x0304 for 1.3). `protocols` are those of ALPN, in
    order; None if the client did not speak of it."""

    server_name: str = ""
    version: int = 0
    protocols: tuple[str, ...] | None = None


def parse_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the start of `data`; None while it is not whole. Raises NotTls as soon as it
    cannot be one, and for one longer than HELLO_BYTES_MAX."""
    message = _message(data)
    if message is None:
        if len(data) >= HELLO_BYTES_MAX:
            raise NotTls("a ClientHello too long")
        return None
    try:
        return _understood(message)
    except (IndexError, struct.error):
        raise NotTls("a malformed ClientHello") from None


def _message(data: bytes) -> bytes | None:
    """The handshake message in the first records, which may each hold a part of it."""
    if len(data) > 9 and data[0] == _HANDSHAKE and data[1] == 3 and data[5] == _CLIENT_HELLO:
        size, whole = data[3] << 8 | data[4], 4 + (data[6] << 16 | data[7] << 8 | data[8])
        if whole <= size <= HELLO_BYTES_MAX and 5 + whole <= len(data):
            return data[9 : 5 + whole]  # as clients send it: in one record
    message = b""
    at = 0
    while True:
        head = data[at : at + 5]
        if head and (head[0] != _HANDSHAKE or head[1:2] not in (b"", b"\x03")):
            raise NotTls("not a TLS handshake")
        if len(head) < 5:
            return None
        size = int.from_bytes(head[3:5], "big")
        if not 0 < size <= HELLO_BYTES_MAX:
            raise NotTls("a record of impossible length")
        message += data[at + 5 : at + 5 + size]
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls("a handshake that does not begin with ClientHello")
        if len(message) >= 4:
            whole = 4 + int.from_bytes(message[1:4], "big")
            if whole > HELLO_BYTES_MAX:
                raise NotTls("a ClientHello too long")
            if len(message) >= whole:
                return message[4:whole]
        at += 5 + size
        if at > len(data):
            return None


def _understood(hello: bytes) -> ClientHello:
    """Raises IndexError or struct.error where a length leads beyond the end. This runs for every
    connection, so it does without a value for each step."""
    version = hello[0] << 8 | hello[1]
    at = 34  # version and random
    at += 1 + hello[at]  # session id
    at += 2 + _number(hello, at)  # cipher suites
    at += 1 + hello[at]  # compression methods
    name, protocols = "", None
    if at == len(hello):
        return ClientHello(name, version, protocols)
    end = at + 2 + _number(hello, at)
    at += 2
    if end > len(hello):
        raise IndexError
    while at < end:
        kind, size = _EXTENSION(hello, at)
        at += 4
        if at + size > end:
            raise IndexError
        if kind == _SERVER_NAME:
            name = _server_name(hello[at : at + size])
        elif kind == _ALPN:
            protocols = _protocols(hello[at : at + size])
        elif kind == _SUPPORTED_VERSIONS:
            version = _highest(hello[at : at + size]) or version
        at += size
    return ClientHello(name, version, protocols)


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _server_name(content: bytes) -> str:
    """RFC 6066 section 3: the first host name; what cannot be one counts as none."""
    if _number(content, 0) != len(content) - 2:
        raise IndexError
    at = 2
    while at < len(content):
        size = _number(content, at + 1)
        name = content[at + 3 : at + 3 + size]
        if len(name) != size:
            raise IndexError
        if content[at] == 0:
            return name.decode("ascii").lower().rstrip(".") if _NAME.fullmatch(name) else ""
        at += 3 + size
    return ""


def _protocols(content: bytes) -> tuple[str, ...]:
    if _number(content, 0) != len(content) - 2:
        raise IndexError
    found, at = [], 2
    while at < len(content):
        end = at + 1 + content[at]
        if end > len(content):
            raise IndexError
        found.append(content[at + 1 : end].decode("latin-1"))
        at = end
    return tuple(found)


def _highest(content: bytes) -> int:
    """The highest version of TLS; 0 if there is none. Values of other forms are reserved (RFC 8701)."""
    if content[0] != len(content) - 1 or content[0] & 1:
        raise IndexError
    lowest = [low for high, low in zip(content[1::2], content[2::2], strict=True) if high == 3]
    return 0x0300 | max(lowest) if lowest else 0
