"""How a connection ends, the same to its owner with and without TLS.

TLS ends with a closing alert from each side (RFC 8446 section 6.1). It tells the reader of a body without
length that it has everything, so it is sent at an orderly end and never otherwise. A transport that was
closed stays until the other side has answered the alert; who waits for nothing from there ends at once."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


def is_secured(transport: Any) -> bool:
    return transport.get_extra_info("ssl_object") is not None


def sends_files(transport: Any) -> bool:
    """Whether the kernel encrypts, so that a file can be sent over TLS without passing through us."""
    return bool(transport.get_extra_info("ktls_send_enabled"))


def unsent(transport: Any) -> int:
    """Bytes that the kernel has not taken yet. Records of TLS lie in a buffer of their own, which
    `get_write_buffer_size` leaves out."""
    waiting: int = transport.get_write_buffer_size()
    local = getattr(transport, "get_local_write_buffer_size", None)
    return waiting if local is None else max(waiting, local())


def close(transport: Any) -> None:
    """An orderly end after all that was written. Nothing from the other side is waited for, except by
    TLS while there is something to send; whoever watches over the connection bounds that."""
    if not is_secured(transport):
        transport.close()
        return
    close_when_answered(transport)
    if not unsent(transport):
        _shut(transport, socket.SHUT_RD)


def close_when_answered(transport: Any) -> None:
    """An orderly end of TLS that reads, and drops, what the other side still sends until it ends its side.
    A reset, which would destroy the answer on its way, is thereby avoided."""
    if not transport.is_closing():
        transport.resume_reading()  # the closing alert of the other side is read too
    transport.close()


def break_off(transport: Any) -> None:
    """No closing alert: over TLS what was sent does not look complete."""
    if is_secured(transport) and transport.is_closing():
        # abort() would leave the transport and its buffers to a timer of a transport being closed.
        _shut(transport, socket.SHUT_RDWR)
    else:
        transport.abort()


def _shut(transport: Any, how: int) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(how)
