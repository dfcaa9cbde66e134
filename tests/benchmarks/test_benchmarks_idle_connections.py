from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from benchmarks import bodies
from benchmarks.client import WrongBytes
from benchmarks.idle_connections import PER_ADDRESS, address, files_for, held_open

TARGET = bodies.path(100, "a")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        data = bytes(bodies.piece(self.path, 0, 100))
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(data if "wrong" not in self.path else bytes(100))
        self.close_connection = "last" in self.path

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_connections_come_from_addresses_that_no_limit_for_one_client_holds_back() -> None:
    addresses = [address(number) for number in range(20_000)]
    assert max(addresses.count(one) for one in set(addresses)) == PER_ADDRESS
    assert all(ip_address(one).is_loopback for one in addresses)
    assert "127.0.0.1" not in addresses


def test_no_more_connections_than_files_may_be_open() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert files_for(10) == 10
    if hard != resource.RLIM_INFINITY:
        assert files_for(hard + 1000) < hard


def test_each_asks_once_and_stays(url: str) -> None:
    with held_open() as idle:
        idle.grow(url, TARGET, 3)
        idle.grow(url, TARGET, 5)
        assert (len(idle), idle.still_open()) == (5, 5)
    assert len(idle) == 0


def test_one_that_was_closed_is_not_open(url: str) -> None:
    with held_open() as idle:
        idle.grow(url, f"{TARGET}-last", 1)
        idle._sockets[0].settimeout(10)
        assert idle._sockets[0].recv(1) == b""
        assert idle.still_open() == 0


def test_wrong_bytes_are_seen(url: str) -> None:
    with held_open() as idle, pytest.raises(WrongBytes):
        idle.grow(url, f"{TARGET}-wrong", 1)
