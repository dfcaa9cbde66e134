"""The parts of the benchmark of tunnels that can be wrong without a network."""

from __future__ import annotations

import socket
import threading

import pytest

from benchmarks.tunnels import _connect


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_proxy_that_refuses_or_breaks_off_is_no_tunnel(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(4096)
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ConnectionError, match=r"403|200 OK"):
            _connect(f"http://127.0.0.1:{listening.getsockname()[1]}", "a:443")
        thread.join()
