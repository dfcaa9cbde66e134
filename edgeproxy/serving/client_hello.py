"""What a TLS client says first: the name it wants, the protocols and the versions it offers. Pure.

Only enough of RFC 8446 section 4.1.2 is read to choose a certificate and to refuse with the right alert
what no handshake could bring to an end; whether the message is well-formed is for the TLS library."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeproxy.errors import EdgeError

HELLO_BYTES_MAX = 16 << 10  # of records; what clients send has 200 to 2000 bytes

_HANDSHAKE = 22  # content type of a record
_CLIENT_HELLO = 1
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43  # extensions
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


class _Reader:
    """Bytes taken from the front. IndexError when there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise IndexError
        return self._data[start : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> _Reader:
        return _Reader(self.take(self.number(width)))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)


def parse_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the start of `data`; None while it is not whole. Raises NotTls as soon as it
    cannot be one, and for one longer than HELLO_BYTES_MAX."""
    message = _message(data)
    if message is None:
        if len(data) >= HELLO_BYTES_MAX:
            raise NotTls("a ClientHello too long")
        return None
    try:
        return _understood(_Reader(message))
    except IndexError:
        raise NotTls("a malformed ClientHello") from None


def _message(data: bytes) -> bytes | None:
    """The handshake message in the first records, which may each hold a part of it."""
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


def _understood(hello: _Reader) -> ClientHello:
    version = hello.number(2)
    hello.take(32)  # random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    name, protocols = "", None
    extensions = hello.vector(2) if hello else _Reader(b"")
    while extensions:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind == _SERVER_NAME:
            name = _server_name(content)
        elif kind == _ALPN:
            protocols = _protocols(content)
        elif kind == _SUPPORTED_VERSIONS:
            version = _highest(content) or version
    return ClientHello(name, version, protocols)


def _server_name(content: _Reader) -> str:
    """RFC 6066 section 3: the first host name; what cannot be one counts as none."""
    names = content.vector(2)
    while names:
        kind = names.number(1)
        name = names.vector(2).rest()
        if kind == 0:
            return name.decode("ascii").lower().rstrip(".") if _NAME.fullmatch(name) else ""
    return ""


def _protocols(content: _Reader) -> tuple[str, ...]:
    names = content.vector(2)
    found = []
    while names:
        found.append(names.vector(1).rest().decode("latin-1"))
    return tuple(found)


def _highest(content: _Reader) -> int:
    """The highest version of TLS; 0 if there is none. Values of other forms are reserved (RFC 8701)."""
    versions = content.vector(1)
    found = [0]
    while versions:
        version = versions.number(2)
        if version >> 8 == 3:
            found.append(version)
    return max(found)
