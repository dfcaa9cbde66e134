"""TLS in front of a stand-in that speaks none: what comes over it goes to the stand-in as it is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading

from stands.authority import Issued


class TlsFront:
    """Accepts at 127.0.0.1, or at `listening`, until `stop`, for the port `behind` of a `host`. `connections`
    counts handshakes that succeeded."""

    def __init__(
        self,
        behind: int,
        issued: Issued,
        listening: socket.socket | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.connections = 0
        self._host = host
        self._behind = behind
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(issued.certificate, issued.key)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # clients that refuse the certificate
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = listening or socket.create_server(("127.0.0.1", 0))
        opening = asyncio.start_server(self._accepted, sock=listening, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            behind = await asyncio.open_connection(self._host, self._behind)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, behind[1]), _copy(behind[0], writer))

    def stop(self) -> None:
        async def close() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()
