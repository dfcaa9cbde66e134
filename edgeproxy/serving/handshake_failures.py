"""Why a handshake fails, in words of a closed set, and what the client is told of it."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from typing import TYPE_CHECKING

from edgeproxy.errors import RequestError
from edgeproxy.serving.client_hello import ClientHello, NotTls
from edgeproxy.serving.exchange import account_refusal
from edgeproxy.serving.first_bytes import Said, look_now
from edgeproxy.serving.service import Service

if TYPE_CHECKING:  # it loads what reads certificates, which nodes without TLS can do without
    from edgeproxy.serving.tls import Contexts

_PLAIN = re.compile(rb"[A-Z]{3,16} ")  # a request line that comes without TLS
_PLAIN_BYTES = 64 << 10
# Alerts (RFC 8446 section 6.2) that tell a client why there will be no handshake, as plain records.
_ALERT_VERSION, _ALERT_PROTOCOL = 70, 120

_REASONS = (
    (re.compile("NO_CERTIFICATE|DID_NOT_RETURN_A_CERT|CERTIFICATE_VERIFY_FAILED|EE_KEY"), "certificate"),
    (re.compile("ALERT"), "alert"),
    (re.compile("VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS"), "version"),
    (re.compile("CIPHER|GROUP|CURVE|SIGNATURE_ALG"), "cipher"),
)


class HandshakeFailed(Exception):
    """`reason` is one of a closed set: a label of a metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def accepted(said: Said, connected: socket.socket, service: Service, client: str) -> ClientHello:
    """What a handshake can begin with. Raises HandshakeFailed for what else comes first."""
    if isinstance(said, ClientHello):
        return said
    if isinstance(said, NotTls):
        raise HandshakeFailed(_answer_plainly(connected, service, client))
    raise HandshakeFailed("timeout" if isinstance(said, TimeoutError) else "left")


def why(error: OSError) -> str:
    """In a word of a closed set, why a handshake that had begun did not end well."""
    if isinstance(error, ssl.SSLError):
        return reason_of(error)
    return "timeout" if isinstance(error, ConnectionAbortedError) else "left"


def reason_of(error: ssl.SSLError) -> str:
    """Why a handshake failed, in a word of a closed set."""
    text = str(getattr(error, "reason", None) or "")
    return next((reason for pattern, reason in _REASONS if pattern.search(text)), "malformed")


def refuse(connected: socket.socket, hello: ClientHello, contexts: Contexts) -> None:
    """Raise HandshakeFailed for what cannot succeed, having said why."""
    if hello.version < contexts.minimum:
        _alert(connected, _ALERT_VERSION)
        raise HandshakeFailed("version")
    # RFC 7301 section 3.2; a client that took our bytes for another protocol's could be made to act on them.
    if hello.protocols is not None and not set(hello.protocols) & set(contexts.protocols):
        _alert(connected, _ALERT_PROTOCOL)
        raise HandshakeFailed("protocol")


def _alert(connected: socket.socket, description: int) -> None:
    with contextlib.suppress(OSError):
        connected.recv(_PLAIN_BYTES)  # what is left unread would turn the close into a reset
        connected.send(bytes((21, 3, 3, 0, 2, 2, description)))


def _answer_plainly(connected: socket.socket, service: Service, client: str) -> str:
    """The answer to bytes that are no TLS: a line for those that are HTTP, nothing for others."""
    if not _PLAIN.match(look_now(connected, 32)):
        return "malformed"
    error = RequestError(400, "this port speaks HTTPS")
    account_refusal(service, client, error)
    text = f"{error}\n"
    answer = (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    )
    with contextlib.suppress(OSError):
        connected.recv(_PLAIN_BYTES)
        connected.send(answer.encode("ascii"))
        connected.shutdown(socket.SHUT_WR)
    return "plain"
