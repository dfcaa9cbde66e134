"""A whole node over TLS: real clients, certificates that come and go, and what must not work."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stands.authority import Authority, Issued, trusting
from stands.clients import Pip, curl
from stands.faults import sending
from stands.index import Index
from stands.node import READY, Node, eventually
from stands.origin import Origin, Resource
from stands.raw_client import RawAnswer, RawClient, request

StartNode = Callable[..., Node]
ServeIndex = Callable[..., Node]
HTTPS = {"http": ["127.0.0.1:0"], "https": ["127.0.0.1:0"]}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(issued: Issued) -> dict[str, Path]:
    return {"certificate": issued.certificate, "key": issued.key}


def site(origin: Origin) -> dict[str, str]:
    return {"name": "all", "mount": "/", "origin": origin.url}


def common_name(client: RawClient) -> str:
    found: Any = client.secured.getpeercert()
    return str(found["subject"][0][0][1])


def test_curl_chooses_among_certificates_and_is_told_apart_from_plain_http(
    start_node: StartNode, origin: Origin, authority: Authority, tmp_path: Path
) -> None:
    origin.paths["/a"] = Resource(b"content")
    sni = [files(authority.issue("one", ["one.example"])), files(authority.issue("wild", ["*.w.example"]))]
    node = start_node(
        [site(origin)], {"listen": HTTPS, "tls": {**files(authority.issue("node")), "sni": sni}}
    )
    port = node.https[1]

    def ask(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        resolve: list[str] = []
        for name in ("one.example", "x.w.example"):
            resolve += ["--resolve", f"{name}:{port}:127.0.0.1"]
        return curl(tmp_path / "home", "--cacert", str(authority.file), *resolve, *arguments, url)

    for name in ("localhost", "127.0.0.1", "one.example", "x.w.example"):
        done = ask(f"https://{name}:{port}/a")
        assert done.stdout == "content", (name, done.stderr)
    forwarded = origin.journal.exchanges[0]
    assert forwarded.all("x-forwarded-proto") == ["https"]
    assert "wrong version" not in ask(f"http://localhost:{port}/a").stderr
    assert ask(f"http://localhost:{port}/a").stdout == "this port speaks HTTPS\n"
    assert ask(f"http://localhost:{node.http[1]}/a").stdout == "content"
    old = ask(f"https://localhost:{port}/a", "--tls-max", "1.1", "--ciphers", "ALL@SECLEVEL=0")
    assert old.returncode == 35
    assert "alert protocol version" in old.stderr
    for _ in range(2):
        assert ask(f"https://localhost:{port}/a", "--tls-max", "1.2").stdout == "content"
    assert node.metric("tls_handshakes_total", version="TLSv1.2") == 2
    assert node.metric("tls_handshake_failures_total", reason="version") == 1
    assert node.metric("tls_handshake_failures_total", reason="plain") == 2


def test_certificates_change_under_running_downloads(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    changed = threading.Event()
    body = origin.put("/slow", 3_000_000, piece=50_000, held=changed)
    issued = authority.issue("first")
    node = start_node([site(origin)], {"listen": HTTPS, "tls": {**files(issued), "reload": "100ms"}})
    context = authority.client()
    answers: list[RawAnswer] = []
    clients = [
        threading.Thread(target=lambda: answers.append(node.get_secured("/slow", context))) for _ in range(8)
    ]
    for client in clients:
        client.start()
    assert eventually(lambda: node.metric("connections") >= 8)

    def now() -> str:
        with RawClient(node.https, context=context) as client:
            return common_name(client)

    assert now() == "first"
    issued.key.write_text("broken")
    assert eventually(lambda: node.metric("tls_reloads_total", end="failed") == 1)
    assert now() == "first"
    authority.issue("second").move_to(issued)
    assert eventually(lambda: now() == "second")
    assert not answers, "the downloads outlast the change"
    changed.set()
    for client in clients:
        client.join()
    assert [answer.complete and answer.body == body for answer in answers] == [True] * 8
    assert node.stderr.count("stay in use") == 1


def test_only_known_nodes_are_admitted(
    start_node: StartNode, origin: Origin, authority: Authority, tmp_path: Path
) -> None:
    origin.paths["/a"] = Resource(b"content")
    admitted = Authority(tmp_path, "authority of nodes")
    edge, stranger = admitted.issue("edge"), authority.issue("stranger")
    tls = {
        **files(authority.issue("node")), "client_ca": admitted.file, "client_certificates": "required"
    }  # fmt: skip
    node = start_node([site(origin)], {"listen": {"http": [], "https": ["127.0.0.1:0"]}, "tls": tls})
    assert node.get_secured("/a", authority.client(edge)).body == b"content"
    for own in (None, stranger):
        assert node.get_secured("/a", authority.client(own)).status == 0
    assert node.metric("tls_handshake_failures_total", reason="certificate") == 2
    assert len(origin.journal.exchanges) == 1


def test_a_node_signs_its_own_certificate_and_keeps_it(start_node: StartNode, origin: Origin) -> None:
    origin.paths["/a"] = Resource(b"content")
    sections = {"listen": {"http": [], "https": ["127.0.0.1:0"]}, "tls": {"self_signed": True}}
    node = start_node([site(origin)], sections)
    trusted = node.cache / "tls" / "self-signed.pem"
    assert (node.cache / "tls" / "self-signed.key").stat().st_mode & 0o777 == 0o600
    context = trusting(trusted)
    for name in ("localhost", "127.0.0.1"):
        assert node.get_secured("/a", context, server_name=name).body == b"content"
    line = (node.directory / "stdout").read_text()
    found = READY.search(line)
    assert found is not None
    assert found[1] == "-"
    before = trusted.read_bytes()
    node.restart()
    assert trusted.read_bytes() == before
    assert node.get_secured("/a", context).body == b"content"


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({}, "tls.certificate: is needed because listen.https is set"),
        ({"certificate": "absent.pem", "key": "node.key"}, "tls.certificate: "),
        ({"certificate": "node.pem", "key": "other.key"}, "tls.key: "),
        ({"certificate": "old.pem", "key": "old.key"}, "old.pem expired at "),
        ({"certificate": "node.pem", "key": "locked.key"}, "has a passphrase"),
        (
            {"certificate": "node.pem", "key": "node.key", "sni": [{"certificate": "node.key"}]},
            "tls.sni.1.cert",
        ),
    ],
)
def test_what_cannot_work_is_told_before_the_start(
    start_node: StartNode, authority: Authority, tls: dict[str, Any], said: str
) -> None:
    node = start_node([{"name": "all", "mount": "/", "origin": "http://127.0.0.1:9"}], ready=False)
    place = Authority(node.directory)
    for stem in ("node", "other"):
        place.issue(stem)
    place.issue("old", begins=-9, days=3)
    place.issue("locked", passphrase=b"secret")
    node.sections |= {"listen": HTTPS, "tls": tls}
    process = node.spawn()
    assert process.wait(15) == 2
    node.process = None
    assert said in node.stderr
    assert node.stderr.count("edgeproxy: ") == 1


def test_large_bodies_are_right_to_the_byte_and_broken_ones_look_broken(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    large = origin.put("/large", 30_000_000)
    origin.paths["/cut"] = sending(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", bytes(400_000))
    node = start_node([site(origin)], {"listen": HTTPS, "tls": files(authority.issue("node"))})
    context = authority.client()
    for _ in range(2):  # while it is filled, and from disk
        answer = node.get_secured("/large", context)
        assert answer.complete
        assert answer.body == large
    ranged = node.get_secured("/large", context, fields=[("Range", "bytes=12345678-25678901")])
    assert (ranged.status, ranged.body == large[12345678:25678902]) == (206, True)
    cut = node.get_secured("/cut", context)
    assert not cut.complete
    assert cut.ended == "reset"


def test_http_2_is_spoken_where_the_client_offers_it(
    start_node: StartNode, origin: Origin, authority: Authority, tmp_path: Path
) -> None:
    large = origin.put("/large", 20_000_000)
    origin.paths["/cut"] = sending(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", bytes(400_000))
    edge = authority.issue("edge")
    tls = {
        **files(authority.issue("node")), "client_ca": authority.file, "client_certificates": "required"
    }  # fmt: skip
    node = start_node([site(origin)], {"listen": HTTPS, "tls": tls})
    got = tmp_path / "got"

    def ask(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        trust = ["--cacert", str(authority.file), "--cert", str(edge.certificate), "--key", str(edge.key)]
        shown = ["--write-out", "%{http_version} %{http_code}", "--output", str(got)]
        return curl(
            tmp_path / "home", *trust, *shown, *arguments, f"https://localhost:{node.https[1]}{target}"
        )

    for arguments, version in ((("--http2",), "2"), (("--http1.1",), "1.1"), (("--http2",), "2")):
        assert ask("/large", *arguments).stdout == f"{version} 200"
        assert got.read_bytes() == large
    cut = ask("/cut", "--http2")
    assert cut.returncode != 0
    assert eventually(lambda: node.metric("connections") == 0)
    with RawClient(node.https, context=authority.client(edge, ("h2",))) as idle:
        idle.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert idle.read_some(9)[3] == 4  # SETTINGS
        node.stop(10)
        assert idle.wait_end() == "eof"


def test_slow_and_silent_handshakes_end_and_hold_up_nobody(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    origin.paths["/a"] = Resource(b"content")
    node = start_node(
        [site(origin)],
        {
            "listen": HTTPS,
            "tls": files(authority.issue("node")),
            "limits": {"handshake_timeout": "4s", "handshakes": 100},
        },
    )
    context = authority.client()
    assert node.get_secured("/a", context).body == b"content"
    before = node.resident_bytes()
    idle = [socket.create_connection(node.https) for _ in range(300)]
    for client in idle:
        client.sendall(b"\x16\x03\x01\x02")
    for _ in range(10):
        assert node.get_secured("/a", context).body == b"content"
    assert eventually(lambda: node.metric("tls_handshake_failures_total") == 300)
    assert node.metric("tls_handshake_failures_total", reason="timeout") > 0
    assert node.metric("tls_handshakes_running") == 0
    assert node.resident_bytes() - before < 30 << 20
    for client in idle:
        client.close()


def test_hundreds_of_handshakes_leave_nothing_behind(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    origin.paths["/a"] = Resource(b"content")
    node = start_node([site(origin)], {"listen": HTTPS, "tls": files(authority.issue("node"))})
    context = authority.client()

    def many(count: int) -> None:
        for _ in range(count):
            with RawClient(node.https, context=context) as client:
                client.send(request("/a"))
                assert client.read().body == b"content"

    def together(count: int) -> None:
        threads = [threading.Thread(target=many, args=(count // 4,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(200)
    before, files_before = node.resident_bytes(), len(list(Path(f"/proc/{node.pid}/fd").iterdir()))
    together(200)
    assert eventually(lambda: node.metric("connections") == 0)
    assert node.metric("tls_handshakes_total") == 400
    assert node.resident_bytes() - before < 20 << 20
    assert len(list(Path(f"/proc/{node.pid}/fd").iterdir())) <= files_before + 5


def test_sigterm_lets_downloads_over_tls_end(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    body = origin.put("/slow", 2_000_000, piece=50_000, piece_delay=0.02)
    node = start_node([site(origin)], {"listen": HTTPS, "tls": files(authority.issue("node"))})
    context = authority.client()
    answers: list[RawAnswer] = []
    clients = [
        threading.Thread(target=lambda: answers.append(node.get_secured("/slow", context))) for _ in range(5)
    ]
    for client in clients:
        client.start()
    assert eventually(lambda: node.metric("connections") >= 5)
    with RawClient(node.https, context=context) as idle:
        began = time.monotonic()
        node.stop()
        assert idle.wait_end() == "eof"
    for client in clients:
        client.join()
    assert [answer.complete and answer.body == body for answer in answers] == [True] * 5
    assert time.monotonic() - began < 20


def test_pip_installs_over_tls(
    serve_index: ServeIndex, index: Index, authority: Authority, tmp_path: Path
) -> None:
    node = serve_index(index, {"listen": HTTPS, "tls": files(authority.issue("node"))})
    place = f"https://localhost:{node.https[1]}/pypi/simple/"
    installed = Pip("pip").install(place, tmp_path / "good", "alpha", "--cert", str(authority.file))
    assert installed.packages == {"alpha": "1.1"}, installed.output
    assert f"http://localhost:{node.http[1]}" not in installed.output
    refused = Pip("pip").install(place, tmp_path / "bad", "alpha", "--retries", "0")
    assert refused.status != 0
    assert eventually(lambda: node.metric("tls_handshake_failures_total", reason="alert") > 0)


def test_openssl_sees_no_early_data_and_cannot_renegotiate(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    node = start_node([site(origin)], {"listen": HTTPS, "tls": files(authority.issue("node"))})
    where = f"{node.https[0]}:{node.https[1]}"

    def client(*arguments: str, typed: str = "") -> str:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", where, "-servername", "localhost", *arguments],
            input=typed,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stdout + done.stderr

    assert "Max Early Data: 0" in client("-tls1_3", "-ign_eof", typed="GET / HTTP/1.0\r\n\r\n")
    # "R" asks for another handshake on the same connection.
    said = client("-tls1_2", typed="R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said
    assert client("-alpn", "h3").count("alert no application protocol") == 1


def test_ssl_contexts_of_old_clients_are_refused(
    start_node: StartNode, origin: Origin, authority: Authority
) -> None:
    node = start_node(
        [site(origin)], {"listen": HTTPS, "tls": {**files(authority.issue("node")), "minimum": "1.3"}}
    )
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        node.get_secured("/a", context)
