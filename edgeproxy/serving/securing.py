"""A TLS handshake over an accepted socket, without a task: the library is asked to go on whenever what it
waits for is there. Thousands of handshakes a second make the difference worth having."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import aiofastnet

# Requests are small; answers leave in pieces of this size. Both are held by every open connection.
INCOMING_BYTES = 32 << 10
OUTGOING_BYTES = 64 << 10
_CLOSING_SECONDS = 120.0  # to send what is left; the sweep ends those that make no progress earlier


class Securing:
    """Under way from the beginning, for at most `seconds`. `ended` is told once, in a later turn of the loop:
    None when `protocol` has been connected, else the OSError that ended it, ssl.SSLError among them; the
    socket is for whom it tells to close then. Whoever watched the socket before is replaced."""

    __slots__ = ("_ended", "_steps")

    def __init__(
        self,
        connected: socket.socket,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        seconds: float,
        ended: Callable[[OSError | None], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._ended = ended
        self._steps: Coroutine[Any, Any, Any] = aiofastnet.connect_accepted_socket(
            loop,
            lambda: protocol,
            connected,
            ssl=context,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=_CLOSING_SECONDS,
            ssl_incoming_bio_size=INCOMING_BYTES,
            ssl_outgoing_bio_size=OUTGOING_BYTES,
        )
        try:
            self._steps.send(None).add_done_callback(self._go_on)
        except OSError as error:
            loop.call_soon(ended, error)

    def _go_on(self, _: object) -> None:
        """The coroutine waits for futures only, and this one is done (PEP 492: it is resumed by `send`)."""
        try:
            waited = self._steps.send(None)
        except StopIteration:
            self._ended(None)
        except OSError as error:
            self._ended(error)
        else:
            waited.add_done_callback(self._go_on)

    def cancel(self) -> None:
        """Break off; nothing is told."""
        self._ended = lambda _: None
        self._steps.close()
