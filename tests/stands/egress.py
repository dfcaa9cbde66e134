"""A proxy through which a network is left, as offices have: CONNECT, and URLs in the request line."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import socketserver
import threading
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 60.0


class EgressStand:
    """Knows names that nobody else does: all of them are this machine. `heads` are what it was asked; asked
    without the `user` ("name:password") it answers 407, and `refuses` what it is told to with that status."""

    def __init__(self, user: str = "", refuses: int = 0) -> None:
        self.heads: list[str] = []
        self.user, self.refuses = user, refuses
        stand = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    stand.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"http://{user}127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE_SECONDS)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = client.recv(1)
            if not piece:
                return
            head += piece
        text = head.decode("latin-1")
        self.heads.append(text)
        shown = re.search(r"(?i)^proxy-authorization: Basic (\S+)\r$", text, re.MULTILINE)
        if self.user and (shown is None or base64.b64decode(shown[1]).decode() != self.user):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if self.refuses:
            client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.refuses)
            return
        method, target, _ = text.split(" ", 2)
        if method == "CONNECT":
            port, first = int(target.rpartition(":")[2]), b""
        else:
            parts = urlsplit(target)
            port = parts.port or 80
            first = text.replace(f"{parts.scheme}://{parts.netloc}", "", 1).encode("latin-1")
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\nX-Of: the proxy\r\n\r\n")
            server.sendall(first)
            back = threading.Thread(target=_pass_on, args=(server, client))
            back.start()
            _pass_on(client, server)
            back.join()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> EgressStand:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
