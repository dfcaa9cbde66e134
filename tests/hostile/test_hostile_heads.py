"""Request heads that are malformed, too large, or meant for one hop only (RFC 9112 sections 2-5)."""

from __future__ import annotations

import pytest
from stands.node import Node
from stands.origin import Origin, counted
from stands.raw_client import RawClient, request


def line(start: bytes, fields: bytes = b"Host: cache.test\r\n") -> bytes:
    return start + b"\r\n" + fields + b"\r\n"


def with_fields(fields: bytes) -> bytes:
    return line(b"GET /heads HTTP/1.1", b"Host: cache.test\r\n" + fields)


def with_host(host: bytes) -> bytes:
    return line(b"GET /heads HTTP/1.1", b"Host: " + host + b"\r\n")


REFUSED: dict[str, tuple[bytes, set[int]]] = {
    # The request line.
    "double space": (line(b"GET  /heads HTTP/1.1"), {400}),
    "double space before version": (line(b"GET /heads  HTTP/1.1"), {400}),
    "tab": (line(b"GET\t/heads\tHTTP/1.1"), {400}),
    "leading space": (line(b" GET /heads HTTP/1.1"), {400}),
    "trailing space": (line(b"GET /heads HTTP/1.1 "), {400}),
    "space in target": (line(b"GET /he ads HTTP/1.1"), {400}),
    "no target": (line(b"GET HTTP/1.1"), {400}),
    "empty target": (line(b"GET  HTTP/1.1"), {400}),
    "target without slash": (line(b"GET heads HTTP/1.1"), {400}),
    "fragment": (line(b"GET /heads#x HTTP/1.1"), {400}),
    "NUL in target": (line(b"GET /he\x00ads HTTP/1.1"), {400}),
    "control in target": (line(b"GET /he\x01ads HTTP/1.1"), {400}),
    "DEL in target": (line(b"GET /he\x7fads HTTP/1.1"), {400}),
    "CR in target": (line(b"GET /he\rads HTTP/1.1"), {400}),
    "bare LF lines": (b"GET /heads HTTP/1.1\nHost: cache.test\n\n", {400}),
    "bare LF at the end": (b"GET /heads HTTP/1.1\r\nHost: cache.test\r\n\n", {400}),
    "bare CR lines": (b"GET /heads HTTP/1.1\rHost: cache.test\r\r\r\n\r\n", {400}),
    "method with NUL": (line(b"GE\x00T /heads HTTP/1.1"), {400}),
    "method with colon": (line(b"GET: /heads HTTP/1.1"), {400}),
    "method non-ASCII": (line(b"G\xc9T /heads HTTP/1.1"), {400}),
    "no method": (line(b"/heads HTTP/1.1"), {400}),
    "binary": (bytes(range(128, 256)) + b"\r\n\r\n", {400}),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "HTTP/2 preface with another end": (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", {400, 505}),
    # Versions.
    "HTTP/0.9": (b"GET /heads\r\n\r\n", {400, 505}),
    "HTTP/0.9 said": (line(b"GET /heads HTTP/0.9"), {400, 505}),
    "HTTP/2.0": (line(b"GET /heads HTTP/2.0"), {400, 505}),
    "HTTP/3": (line(b"GET /heads HTTP/3"), {400, 505}),
    "HTTP/9.9": (line(b"GET /heads HTTP/9.9"), {400, 505}),
    "HTTP/1": (line(b"GET /heads HTTP/1"), {400, 505}),
    "HTTP/1.": (line(b"GET /heads HTTP/1."), {400, 505}),
    "HTTP/1.10": (line(b"GET /heads HTTP/1.10"), {400, 505}),
    "HTTP/01.1": (line(b"GET /heads HTTP/01.1"), {400, 505}),
    "http/1.1": (line(b"GET /heads http/1.1"), {400, 505}),
    "HTTPS/1.1": (line(b"GET /heads HTTPS/1.1"), {400, 505}),
    # Field lines.
    "no colon": (with_fields(b"X-A\r\n"), {400}),
    "empty name": (with_fields(b": a\r\n"), {400}),
    "space in name": (with_fields(b"X A: a\r\n"), {400}),
    "space before colon": (with_fields(b"X-A : a\r\n"), {400}),
    "name with slash": (with_fields(b"X/A: a\r\n"), {400}),
    "name with brackets": (with_fields(b"X(A): a\r\n"), {400}),
    "name non-ASCII": (with_fields(b"X-\xc9: a\r\n"), {400}),
    "fold with space": (with_fields(b"X-A: a\r\n b\r\n"), {400}),
    "fold with tab": (with_fields(b"X-A: a\r\n\tb\r\n"), {400}),
    "fold of the first field": (line(b"GET /heads HTTP/1.1", b" Host: a\r\nHost: b\r\n"), {400}),
    "NUL in value": (with_fields(b"X-A: a\x00b\r\n"), {400}),
    "CR in value": (with_fields(b"X-A: a\rb\r\n"), {400}),
    "LF in value": (with_fields(b"X-A: a\nX-B: b\r\n"), {400}),
    "control in value": (with_fields(b"X-A: a\x08b\r\n"), {400}),
    # Host.
    "no Host": (line(b"GET /heads HTTP/1.1", b"X-A: b\r\n"), {400}),
    "two Hosts": (line(b"GET /heads HTTP/1.1", b"Host: a\r\nHost: b\r\n"), {400}),
    "two Hosts, same": (line(b"GET /heads HTTP/1.1", b"Host: a\r\nHost: a\r\n"), {400}),
    "Host with space": (with_host(b"a b"), {400}),
    "Host with slash": (with_host(b"a/b"), {400}),
    "Host with userinfo": (with_host(b"user@a"), {400}),
    "Host list": (with_host(b"a, b"), {400}),
    "Host with two ports": (with_host(b"a:1:2"), {400}),
    "Host with port too large": (with_host(b"a:99999"), {400}),
    "Host with port letters": (with_host(b"a:b"), {400}),
    "Host with fragment": (with_host(b"a#b"), {400}),
    "Host with question": (with_host(b"a?b"), {400}),
    "Host open bracket": (with_host(b"[::1"), {400}),
    "Host with NUL": (with_host(b"a\x00b"), {400}),
    "absolute-form with userinfo": (line(b"GET http://user@cache.test/heads HTTP/1.1"), {400}),
    "absolute-form of another scheme": (line(b"GET ftp://cache.test/heads HTTP/1.1"), {400, 403, 404, 501}),
    "absolute-form without host": (line(b"GET http:///heads HTTP/1.1"), {400}),
    # To this machine nobody may go through the node.
    "CONNECT": (line(b"CONNECT 127.0.0.1:443 HTTP/1.1"), {403}),
    "CONNECT of a path": (line(b"CONNECT /heads HTTP/1.1"), {400, 403, 405, 501}),
    "asterisk with GET": (line(b"GET * HTTP/1.1"), {400, 404, 405}),
    # Sizes.
    "target of 17 KiB": (line(b"GET /" + b"a" * (17 << 10) + b" HTTP/1.1"), {400, 414, 431}),
    "target without end": (b"GET /" + b"a" * (200 << 10), {400, 414, 431}),
    "200 fields": (with_fields(b"".join(b"X-%d: a\r\n" % n for n in range(200))), {400, 431}),
    "field of 33 KiB": (with_fields(b"X-A: " + b"a" * (33 << 10) + b"\r\n"), {400, 431}),
    "head without end": (with_fields(b"X-A: aaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 5000)[:-2], {400, 431}),
    "name of 40 KiB": (with_fields(b"X" * (40 << 10) + b": a\r\n"), {400, 431}),
    "5000 empty lines": (b"\r\n" * 5000 + request("/heads"), {400, 431}),
}

ESSENTIAL = ["Host", "Content-Length", "Transfer-Encoding", "Cache-Control", "Authorization", "Cookie", "Via"]


@pytest.fixture(scope="module", autouse=True)
def _answers(recording: Origin) -> None:
    recording.paths["/heads"] = counted([("Cache-Control", "no-store")])


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_head_is_refused_and_ends_the_connection(
    node: Node, recording: Origin, name: str
) -> None:
    payload, statuses = REFUSED[name]
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(payload)
        assert client.read().status in statuses
        if payload.startswith((b"CONNECT", b"GET *", b"GET ftp")):
            return  # understood and refused: the connection may go on
        assert client.wait_end() in ("eof", "reset")
        assert b"HTTP/1.1 2" not in client.left
    assert recording.journal.exchanges[before:] == []


@pytest.mark.parametrize("field", ESSENTIAL)
def test_a_field_everybody_relies_on_cannot_be_nominated_hop_by_hop(
    node: Node, recording: Origin, field: str
) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(request("/heads", [("Connection", f"close, {field}")]))
        assert client.read().status == 400
    assert recording.journal.exchanges[before:] == []


HOP_BY_HOP = [
    ("Connection", "keep-alive, X-Nominated"),
    ("X-Nominated", "1"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Proxy-Authorization", "Basic c2VjcmV0"),
    ("TE", "trailers"),
    ("Trailer", "X-A"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
]


def test_fields_of_one_hop_go_no_further(node: Node, recording: Origin) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(request("/heads", HOP_BY_HOP))
        assert client.read().status == 200
    (seen,) = recording.journal.exchanges[before:]
    kept = {name.lower() for name, _ in HOP_BY_HOP} & {name for name, _ in seen.fields}
    assert kept <= {"connection"}
    assert seen.get("connection").lower() in ("", "keep-alive", "close")


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0", "x" * 500])
def test_an_upgrade_is_ignored_and_what_follows_is_still_http(
    node: Node, recording: Origin, protocol: str
) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(request("/heads", [("Connection", "Upgrade"), ("Upgrade", protocol)]) + request("/heads"))
        first, second = client.read().status, client.read().status
    assert first in (200, 400, 501)
    assert second == (200 if first == 200 else 0)
    assert all(not e.all("upgrade") for e in recording.journal.exchanges[before:])


@pytest.mark.parametrize("method", ["FOO", "get", "PATCH", "DELETE", "TRACE", "M" * 40])
def test_any_method_is_passed_or_refused_but_never_answered_from_the_store(
    node: Node, recording: Origin, method: str
) -> None:
    recording.put("/method", 100)
    assert node.get("/method").status == 200
    before = len(recording.journal.exchanges)
    answer = node.get("/method", method=method)
    seen = [e.method for e in recording.journal.exchanges[before:]]
    assert seen == [method] or (seen == [] and answer.status in (400, 405, 501))


def test_one_empty_line_before_a_request_is_forgiven_or_refused(node: Node) -> None:
    with RawClient(node.http) as client:
        client.send(b"\r\n" + request("/alive"))
        assert client.read().status in (200, 400)


def test_http_1_0_gets_an_answer_and_a_close(node: Node) -> None:
    with RawClient(node.http) as client:
        client.send(b"GET /alive HTTP/1.0\r\n\r\n")
        assert client.read().status == 200
        assert client.wait_end() == "eof"


def test_client_bytes_do_not_become_labels_of_metrics(node: Node) -> None:
    for number in range(50):
        node.get(f"/label{number}?secret{number}", [("Host", f"host{number}.test")])
    text = node.ask_admin("/metrics").decode()
    assert "label7" not in text
    assert "host7" not in text


def test_secrets_do_not_reach_the_logs(node: Node) -> None:
    fields = [("Authorization", "Bearer s3cr3t-bearer"), ("Cookie", "session=s3cr3t-cookie")]
    node.get("/alive", [*fields, ("Proxy-Authorization", "Basic s3cr3t-proxy")])
    assert "s3cr3t" not in node.stderr
    assert "s3cr3t" not in node.access_file.read_text()


def test_a_log_line_cannot_be_forged(node: Node) -> None:
    before = len(node.access_log())
    node.get("/alive", [("User-Agent", 'a"}{"status":999,"x":"\x85\xa0')])
    node.get('/alive?"}%0a{"status":999')
    assert all(line.get("status") != 999 for line in node.access_log()[before:])
