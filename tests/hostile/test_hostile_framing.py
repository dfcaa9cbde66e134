"""Requests whose framing two readers may understand differently (RFC 9112 section 6, 11.2).

Each line: what is sent, which statuses may answer it. A refusal must end the connection and nothing
may have reached the origin; where an answer is allowed, the origin saw exactly one clean message."""

from __future__ import annotations

import pytest
from stands.node import Node, eventually
from stands.origin import Origin, counted
from stands.raw_client import RawClient, request

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: cache.test\r\n\r\n"
FIVE = b"5\r\nhello\r\n0\r\n\r\n"
HEAD = b"POST /framing HTTP/1.1\r\nHost: cache.test\r\n"


def post(fields: bytes, content: bytes = FIVE + SMUGGLED) -> bytes:
    return HEAD + fields + b"\r\n" + content


def coded(coding: bytes) -> bytes:
    return post(b"Transfer-Encoding:" + coding + b"\r\n")


def sized(length: bytes) -> bytes:
    return post(b"Content-Length:" + length + b"\r\n", b"hello" + SMUGGLED)


def chunks(content: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", content)


REFUSED: dict[str, tuple[bytes, set[int]]] = {
    # Both kinds of framing at once.
    "CL.TE": (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), {400}),
    "TE.CL": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), {400}),
    "TE.CL 0": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), {400}),
    "CL.TE other coding": (post(b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n"), {400, 501}),
    "CL.0 TE empty": (post(b"Content-Length: 5\r\nTransfer-Encoding:\r\n"), {400, 501}),
    # Transfer-Encoding that is not exactly chunked.
    "TE xchunked": (coded(b" xchunked"), {400, 501}),
    "TE identity": (coded(b" identity"), {400, 501}),
    "TE chunked, identity": (coded(b" chunked, identity"), {400, 501}),
    "TE identity, chunked": (coded(b" identity, chunked"), {400, 501}),
    "TE gzip, chunked": (coded(b" gzip, chunked"), {400, 501}),
    "TE chunked, chunked": (coded(b" chunked, chunked"), {400, 501}),
    "TE chunked,": (coded(b" chunked,"), {400, 501}),
    "TE chunked;q=1": (coded(b" chunked;q=1"), {400, 501}),
    "TE quoted": (coded(b' "chunked"'), {400, 501}),
    "TE VT": (coded(b" \x0bchunked"), {400, 501}),
    "TE FF after": (coded(b" chunked\x0c"), {400, 501}),
    "TE NUL": (coded(b" chunked\x00"), {400, 501}),
    "TE NEL": (coded(b" \x85chunked"), {400, 501}),
    "TE NBSP": (coded(b" chunked\xa0"), {400, 501}),
    "TE CR": (coded(b" chunked\rx"), {400}),
    "TE empty": (coded(b""), {400, 501}),
    "TE folded": (coded(b"\r\n chunked"), {400}),
    "TE bare LF": (coded(b" x\nTransfer-Encoding: chunked"), {400}),
    "TE name with space": (post(b"Transfer-Encoding : chunked\r\n"), {400}),
    "TE name with tab": (post(b"Transfer-Encoding\t: chunked\r\n"), {400}),
    "TE name with NUL": (post(b"Transfer-Encoding\x00: chunked\r\n"), {400}),
    "TE name with leading space": (post(b" Transfer-Encoding: chunked\r\n"), {400}),
    "TE folded into another": (post(b"X-A: b\r\n Transfer-Encoding: chunked\r\n"), {400}),
    "TE twice": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), {400, 501}),
    "TE two kinds": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), {400, 501}),
    "TE in HTTP/1.0": (
        b"POST /framing HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + FIVE + SMUGGLED,
        {400},
    ),
    # Content-Length that is not [0-9]{1,18}, once.
    "CL +5": (sized(b" +5"), {400}),
    "CL -5": (sized(b" -5"), {400}),
    "CL -0": (sized(b" -0"), {400}),
    "CL 0x5": (sized(b" 0x5"), {400}),
    "CL 0_5": (sized(b" 0_5"), {400}),
    "CL 5, 5": (sized(b" 5, 5"), {400}),
    "CL 5,": (sized(b" 5,"), {400}),
    "CL 5;": (sized(b" 5;"), {400}),
    "CL 5 5": (sized(b" 5 5"), {400}),
    "CL 5.0": (sized(b" 5.0"), {400}),
    "CL 5e0": (sized(b" 5e0"), {400}),
    "CL empty": (sized(b""), {400}),
    "CL space": (sized(b"  "), {400}),
    "CL quoted": (sized(b' "5"'), {400}),
    "CL VT": (sized(b" \x0b5"), {400}),
    "CL FS": (sized(b" 5\x1c"), {400}),
    "CL NEL": (sized(b" 5\x85"), {400}),
    "CL superscript": (sized(b" \xb2"), {400}),
    "CL Arabic digit": (sized(b" \xd9\xa5"), {400}),
    "CL 19 digits": (sized(b" " + b"9" * 19), {400, 413}),
    "CL 400 digits": (sized(b" " + b"9" * 400), {400, 413}),
    "CL twice, other": (post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello" + SMUGGLED), {400}),
    "CL twice, same": (post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED), {400}),
    "CL name with space": (post(b"Content-Length : 5\r\n", b"hello" + SMUGGLED), {400}),
    "CL folded": (post(b"Content-Length:\r\n 5\r\n", b"hello" + SMUGGLED), {400}),
    # Chunks.
    "chunk 0x5": (chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk +5": (chunks(b"+5\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk -5": (chunks(b"-5\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk 5 with space before": (chunks(b" 5\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk 5_0": (chunks(b"0_5\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk size empty": (chunks(b"\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk size g": (chunks(b"g\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk size overflow": (chunks(b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    "chunk size 2^64": (chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    "chunk size then LF": (chunks(b"5\nhello\r\n0\r\n\r\n"), {400}),
    "chunk size then CR": (chunks(b"5\rhello\r\n0\r\n\r\n"), {400}),
    "chunk data then LF": (chunks(b"5\r\nhello\n0\r\n\r\n"), {400}),
    "chunk data longer": (chunks(b"5\r\nhelloX\r\n0\r\n\r\n"), {400}),
    "chunk data shorter": (chunks(b"5\r\nhel\r\n0\r\n\r\n" + SMUGGLED), {400}),
    "chunk data without CRLF": (chunks(b"5\r\nhello0\r\n\r\n"), {400}),
    "chunk end bare LF": (chunks(b"5\r\nhello\r\n0\n\n" + SMUGGLED), {400}),
    "chunk ext with LF": (chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk ext with CR": (chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), {400}),
    "chunk ext of 1 MiB": (chunks(b"5;" + b"a" * (1 << 20) + b"\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    "chunk ext, many": (chunks(b"1;aaaaaaaaaaaaaaaa\r\nx\r\n" * 2000 + b"0\r\n\r\n"), {400, 413}),
    "trailers too long": (chunks(b"0\r\n" + b"X-A: aaaaaaaaa\r\n" * 2000 + b"\r\n"), {400, 413, 431}),
    "trailer folded": (chunks(b"0\r\nX-A: a\r\n b\r\n\r\n"), {400}),
    "trailer without colon": (chunks(b"0\r\njunk\r\n\r\n"), {400}),
}


@pytest.fixture(scope="module", autouse=True)
def _answers(recording: Origin) -> None:
    recording.paths["/framing"] = counted([("Cache-Control", "no-store")])
    recording.paths["/smuggled"] = counted([("Cache-Control", "no-store")])


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_framing_is_refused_and_ends_the_connection(
    node: Node, recording: Origin, name: str
) -> None:
    payload, statuses = REFUSED[name]
    before = len(recording.journal.exchanges)
    junk_before = len(recording.journal.malformed)
    with RawClient(node.http) as client:
        client.send(payload)
        answer = client.read()
        assert answer.status in statuses
        assert client.wait_end() in ("eof", "reset")
        assert b"HTTP/1.1 2" not in client.left
    # A body that turns out bad half way may have begun to go out, but it must not end as a message.
    seen = recording.journal.exchanges[before:]
    assert [e.target for e in seen] in ([], ["/framing"])
    cut = not seen or eventually(lambda: len(recording.journal.malformed) > junk_before)
    assert cut, "the origin got a whole message"


CLEAN: dict[str, bytes] = {
    "length": post(b"Content-Length: 5\r\n", b"hello"),
    "length with zeros": post(b"Content-Length: 0005\r\n", b"hello"),
    "chunked": chunks(FIVE),
    "chunked, other case": coded(b" CHUNKED").removesuffix(SMUGGLED),
    "chunked with extension": chunks(b'5;a="b"\r\nhello\r\n0\r\n\r\n'),
    "chunked with trailer": chunks(b"5\r\nhello\r\n0\r\nX-A: b\r\nContent-Length: 7\r\n\r\n"),
    "chunked, size with zeros": chunks(b"0005\r\nhello\r\n000\r\n\r\n"),
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_body_reaches_the_origin_once_and_whole(node: Node, recording: Origin, name: str) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(CLEAN[name] + SMUGGLED)
        assert client.read().status == 200
        assert client.read().status == 200
    first, second = recording.journal.exchanges[before:]
    assert (first.method, first.target, first.body) == ("POST", "/framing", b"hello")
    assert len(first.all("content-length")) + len(first.all("transfer-encoding")) == 1
    assert "x-a" not in dict(first.fields)
    assert (second.method, second.target) == ("GET", "/smuggled")


def test_twenty_thousand_tiny_chunks_are_one_message_or_refused(node: Node, recording: Origin) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(chunks(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"))
        status = client.read().status
    assert status in (200, 400, 413)
    seen = recording.journal.exchanges[before:]
    assert status != 200 or [e.body for e in seen] == [b"x" * 20_000]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_content_of_a_safe_request_never_becomes_a_request(
    node: Node, recording: Origin, method: str
) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(request("/framing", method=method, body=SMUGGLED))
        answer = client.read(method)
        assert answer.status in (200, 204, 400, 405, 413)
        client.send(request("/framing?second"))
        second = client.read()
    targets = [e.target for e in recording.journal.exchanges[before:]]
    assert "/smuggled" not in targets
    if method in ("GET", "HEAD"):
        assert all(not e.body for e in recording.journal.exchanges[before:])
    assert second.status in (0, 200)


def test_an_early_answer_does_not_turn_the_rest_of_the_body_into_a_request(
    node: Node, recording: Origin
) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(b"POST /framing HTTP/1.1\r\nHost: a b\r\nContent-Length: 100000\r\n\r\n")
        assert client.read().status == 400
        client.send(SMUGGLED)
        assert client.wait_end() in ("eof", "reset")
    assert recording.journal.exchanges[before:] == []


def test_expect_100_continue_is_answered_here_and_goes_no_further(node: Node, recording: Origin) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_some(4096).startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert client.read().status == 200
    (seen,) = recording.journal.exchanges[before:]
    assert seen.body == b"hello"
    assert not seen.all("expect")


@pytest.mark.parametrize("value", [b"x", b"100-continue, x", b"100-continu", b"\xff", b"100-continue;a"])
def test_any_other_expectation_is_417(node: Node, recording: Origin, value: bytes) -> None:
    before = len(recording.journal.exchanges)
    with RawClient(node.http) as client:
        client.send(HEAD + b"Content-Length: 5\r\nExpect: " + value + b"\r\n\r\nhello")
        assert client.read().status in (400, 417)
    assert recording.journal.exchanges[before:] == []


def test_pipelined_requests_are_answered_in_order(node: Node, recording: Origin) -> None:
    for number in range(20):
        recording.put(f"/pipe/{number}", 1000 + number)
    with RawClient(node.http) as client:
        client.send(b"".join(request(f"/pipe/{number}") for number in range(20)))
        assert [len(client.read().body) for _ in range(20)] == [1000 + number for number in range(20)]


def test_junk_after_a_good_request_spoils_only_what_follows(node: Node) -> None:
    with RawClient(node.http) as client:
        client.send(request("/alive") + b"\x00junk\r\n\r\n" + request("/alive"))
        assert client.read().status == 200
        assert client.read().status == 400
        assert client.wait_end() in ("eof", "reset")
        assert client.left == b""


def test_where_the_bytes_are_split_changes_nothing(node: Node) -> None:
    data = request("/alive", [("X-A", "b")])
    for place in range(1, len(data), 3):
        with RawClient(node.http) as client:
            client.send_split(data, [place], gap=0.001)
            assert client.read().status == 200
    with RawClient(node.http) as client:
        client.send_split(data, range(1, len(data)), gap=0.0005)
        assert client.read().status == 200
