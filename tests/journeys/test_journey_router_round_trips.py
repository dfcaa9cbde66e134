"""A node of two servers whose clients have public addresses: what the kernel measured of their connections
reaches the router, whichever server they came to. Needs root, since loopback has no such addresses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import pytest
from stands.network import Network
from stands.node import Node, eventually
from stands.origin import Origin

from edgeproxy.router.announcements import PATH

HERE, CONNECTIONS = "8.8.8.8", 24
CLIENTS = ("8.8.8.9", "9.9.9.9")


class Router:
    """Takes announcements."""

    def __init__(self, listening: socket.socket) -> None:
        heard: list[dict[str, Any]] = []

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == PATH
                heard.append(orjson.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._heard = heard
        self._server = HTTPServer(listening.getsockname(), Take, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self.url = f"http://{HERE}:{listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def connections(self) -> dict[str, int]:
        """Of each prefix, as announced so far."""
        found: dict[str, int] = {}
        for said in list(self._heard):
            for prefix, rtt, count in said.get("round_trips", []):
                assert 0 < rtt < 100
                found[prefix] = found.get(prefix, 0) + count
        return found

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(20)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network({})
    try:
        for address in (HERE, *CLIENTS):
            made.run(made.client, "ip", "addr", "add", f"{address}/32", "dev", "lo")
        yield made
    finally:
        made.remove()


@pytest.mark.slow
def test_what_servers_measure_of_their_clients_is_announced(
    network: Network, origin: Origin, start_node: Callable[..., Node]
) -> None:
    router = Router(network.listening(network.client, HERE, 0))
    node = start_node(
        [{"name": "files", "mount": "/", "origin": origin.url}],
        {
            "listen": {"http": [f"{HERE}:0"]},
            "node": {"workers": 2, "name": "here"},
            "router.signals": {"routers": [router.url], "token": "t", "interval": "1s", "mesh": "0s"},
        },
        ready=False,
    )
    node.is_loaded_anew = True
    network.inside(network.client, node.start)

    def visit() -> None:
        for number in range(CONNECTIONS):
            source = CLIENTS[number % 2]
            connected = socket.create_connection(node.http, 20, source_address=(source, 0))
            connected.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while connected.recv(65536):
                pass
            connected.close()

    network.inside(network.client, visit)
    expected = {"8.8.8.0/24": CONNECTIONS // 2, "9.9.9.0/24": CONNECTIONS // 2}
    assert eventually(lambda: router.connections() == expected), (router.connections(), node.stderr)
    assert len(node.pids("server")) == 2
    router.stop()
