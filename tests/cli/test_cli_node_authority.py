"""Whom a command will have to trust. What a node answers is told by test_proxy_welcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgeproxy.cli.node_authority import answers, certificates, check, read_certificates
from edgeproxy.errors import ConfigurationError, EdgeError
from edgeproxy.proxy.authority import make

OURS, THEIRS = make(time.time()).pem, make(time.time()).pem


class Pages(ThreadingHTTPServer):
    """The pages of a node whose authority is `pem`."""

    pem: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        page = b"<!doctype html>" if self.path == "/.well-known/edgeproxy" else self.server.pem
        is_there = self.path.startswith("/.well-known/edgeproxy") and page is not None
        self.send_response(200 if is_there else 404)
        self.end_headers()
        self.wfile.write(page or b"" if is_there else b"")

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def node() -> Iterator[Pages]:
    with Pages(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_node_that_is_there_answers(node: Pages) -> None:
    assert answers(node.url)
    assert answers(f"{node.url}/")
    assert not answers(f"{node.url}/below")
    assert not answers("http://127.0.0.1:1")
    assert not answers("no url")


@pytest.mark.parametrize("trusted", [OURS, THEIRS + OURS, OURS.replace(b"\n", b"\r\n")])
def test_an_authority_that_is_trusted_is_no_word_worth(node: Pages, trusted: bytes) -> None:
    node.pem = OURS
    assert check(node.url, trusted) == ""


def test_a_node_without_one_costs_the_cache_and_nothing_else(node: Pages) -> None:
    assert "edgeproxy ca init" in check(node.url, OURS)


def test_another_is_refused_with_what_to_do(node: Pages) -> None:
    for node.pem in (THEIRS, BROKEN):
        with pytest.raises(EdgeError, match=f"curl -o edgeproxy-ca.pem {node.url}/.*ca.pem.*--ca"):
            check(f"{node.url}/", OURS)


def test_certificates_are_taken_out_of_what_is_around_them(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(b"# of the office\r\n" + OURS + b"junk \xff\n" + THEIRS)
    assert certificates(read_certificates(file)) == certificates(OURS) | certificates(THEIRS)
    assert len(certificates(read_certificates(file))) == 2


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82", BROKEN])
def test_a_file_without_one_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"--ca: .*ca\.pem: "):
        read_certificates(file)
