"""A whole node under real clients of HTTP/2: curl, libcurl in Python, h2load, and many streams at once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pycurl
import pytest
from stands.http2_client import Http2Client, asking, headers, window
from stands.node import Node, eventually
from stands.origin import Origin, echo

StartNode = Callable[..., Node]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")


@pytest.fixture
def node(start_node: StartNode, origin: Origin) -> Node:
    origin.paths["/post"] = echo
    return start_node([{"name": "all", "mount": "/", "origin": origin.url}])


def curl(node: Node, target: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["curl", "-sS", "--http2-prior-knowledge", *arguments, node.url(target)]
    return subprocess.run(command, capture_output=True, timeout=60, check=True)


@needs_curl
def test_curl_gets_what_it_gets_over_http_1(node: Node, origin: Origin, tmp_path: Path) -> None:
    body = origin.put("/file", 3_000_000)
    for _ in range(3):
        assert curl(node, "/file").stdout == body
    assert curl(node, "/file", "-r", "1000-1999").stdout == body[1000:2000]
    assert curl(node, "/file", "-r", "-5").stdout == body[-5:]
    head = curl(node, "/file", "-I").stdout
    assert head.startswith(b"HTTP/2 200")
    assert b"content-length: 3000000\r\n" in head
    tag = node.get("/file").get("etag")
    answer = curl(node, "/file", "-i", "-H", f"If-None-Match: {tag}").stdout
    assert answer.startswith(b"HTTP/2 304")
    assert curl(node, "/missing", "-o", "/dev/null", "-w", "%{http_code} %{http_version}").stdout == b"404 2"
    same = [("etag", tag), ("content-length", "3000000")]
    over_1, over_2 = dict(node.get("/file").fields), head.decode("latin-1")
    assert all(over_1[name] == value and f"{name}: {value}\r\n" in over_2 for name, value in same)
    assert origin.journal.count("/file") == 1
    assert eventually(lambda: "2" in {line["version"] for line in node.access_log()})


@needs_curl
@pytest.mark.parametrize(
    "arguments", [(), ("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked")]
)
def test_curl_uploads(node: Node, origin: Origin, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(range(256)) * 40_000)
    assert curl(node, "/post", "--data-binary", f"@{upload}", *arguments, "-o", "/dev/null").stdout == b""
    got = next(e for e in origin.journal.exchanges if e.target == "/post")
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(upload.read_bytes()).digest()


@needs_curl
def test_a_body_that_breaks_off_is_no_whole_body_for_curl(start_node: StartNode, origin: Origin) -> None:
    async def breaking(exchange: object, wire: object) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")  # type: ignore[attr-defined]
        wire.abort()  # type: ignore[attr-defined]

    origin.paths["/breaks"] = breaking
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}])
    command = ["curl", "-sS", "--http2-prior-knowledge", node.url("/breaks")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0 or b"HTTP" not in done.stdout
    assert done.returncode in (18, 56, 92) or done.stdout != b"hello"


def test_libcurl_multiplexes_many_transfers_over_one_connection(node: Node, origin: Origin) -> None:
    bodies = {f"/many/{number}": origin.put(f"/many/{number}", 50_000) for number in range(100)}
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
    multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1)
    got: dict[str, BytesIO] = {}
    easies = []
    for path in bodies:
        easy = pycurl.Curl()
        easy.setopt(pycurl.URL, node.url(path))
        easy.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
        easy.setopt(pycurl.PIPEWAIT, 1)
        easy.setopt(pycurl.TIMEOUT, 60)
        got[path] = BytesIO()
        easy.setopt(pycurl.WRITEDATA, got[path])
        multi.add_handle(easy)
        easies.append(easy)
    running = 1
    while running:
        _, running = multi.perform()
        multi.select(0.1)
    assert {path: content.getvalue() for path, content in got.items()} == bodies
    assert node.metric("connections_total") == 1


@needs_h2load
def test_h2load_fails_nothing(node: Node, origin: Origin) -> None:
    for size, requests in ((1000, 20_000), (200_000, 500)):
        body = origin.put(f"/load/{size}", size)
        assert node.get(f"/load/{size}").body == body  # hits are meant here, not one fill for all
        command = ["h2load", f"-n{requests}", "-c4", "-m100", node.url(f"/load/{size}")]
        said = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
        assert f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in said
        assert origin.journal.count(f"/load/{size}") == 1


async def test_two_hundred_streams_of_one_cold_body_and_one_that_stalls(
    start_node: StartNode, origin: Origin
) -> None:
    body = origin.put("/herd", 400_000, piece=50_000, piece_delay=0.05)
    node = start_node([{"name": "all", "mount": "/", "origin": origin.url}], {"limits": {"streams": 256}})
    stalled = await Http2Client.connect(node.http, generous=False)
    stalled.send(headers(1, asking("/herd")))
    client = await Http2Client.connect(node.http, values=[(4, 1 << 24)])
    client.send(window(0, 1 << 30), *(headers(stream, asking("/herd")) for stream in range(1, 401, 2)))
    for stream in range(1, 401, 2):
        answer = await client.answer(stream, 60)
        assert answer.body == body
        answer.body = b""
    assert origin.journal.count("/herd") == 1
    client.close()
    stalled.close()
