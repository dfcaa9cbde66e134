"""One client must not change what another gets: poisoning, deception, errors stored by trickery.

The origin echoes the request head it saw into a cacheable answer, so that anything which is in the
request but not in the key becomes visible in the answer of the next client."""

from __future__ import annotations

import itertools
import posixpath
import threading
from collections.abc import Sequence
from urllib.parse import unquote

import pytest
from stands.node import Node, eventually
from stands.origin import Origin, Resource, Script, counted, echo, head
from stands.raw_client import RawClient, request
from stands.wire import Answer, Exchange, Wire

Fields = Sequence[tuple[str, str]]
numbers = itertools.count()

UNKEYED = [
    "X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto",
    "X-Forwarded-Server", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Original-Host",
    "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Forwarded-For", "X-Real-IP",
]  # fmt: skip


@pytest.mark.parametrize("field", UNKEYED)
def test_a_field_outside_the_key_does_not_reach_the_next_client(
    node: Node, recording: Origin, field: str
) -> None:
    path = f"/echo/{field}"
    recording.paths[path] = echo
    node.get(path, [(field, "evil.test")])
    assert b"evil.test" not in node.get(path).body


def test_host_does_not_choose_where_a_request_goes_nor_what_is_stored(node: Node, recording: Origin) -> None:
    recording.paths["/echo/host"] = echo
    node.get("/echo/host", [("Host", "evil.test")])
    assert b"evil" not in node.get("/echo/host").body
    with RawClient(node.http) as client:
        client.send(b"GET http://evil.test/echo/host HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        assert b"evil" not in client.read().body


TARGETS = [
    "/k/a?x=1", "/k/a?x=1&x=2", "/k/a?x=2&x=1", "/k/a?x=1;x=2", "/k/a?X=1", "/k/a?x=1%26y=2", "/k/a?x=1&y=2",
    "/k/a?", "/k/a", "/k/A", "/k/%61", "/k/%41", "/k/a%2fb", "/k/a/b", "/k/a%2Fb", "/k//a", "/k/a/", "/k/a;p",
    "/k/a;p=1", "/k/a%3fx=1",
    "/k/a%23", "/k/a%00", "/k/a%20b", "/k/a+b", "/k/./a", "/k/x/../a", "/k/%2e%2e/a",
    "/k/a\\b", "/k/a%5cb", "/k/a?x=/../b", "/k/a?x=%0d%0aX:y", "/k/a:b", "/k/a@b", "/k/a?x==", "/k/a??x",
]  # fmt: skip


async def target_echo(exchange: Exchange, wire: Wire) -> None:
    text = exchange.target.encode("latin-1")
    await wire.send(head(200, [("Cache-Control", "max-age=3600"), ("Content-Length", str(len(text)))]) + text)


def test_key_and_request_cannot_differ(node: Node, recording: Origin) -> None:
    recording.prefixes["/k/"] = target_echo
    for target in TARGETS + TARGETS[::-1]:
        answer = node.get(target)
        assert answer.status == 400 or answer.body.decode("latin-1") == target


ESCAPES = [
    "/below/../secret", "/below/./../secret",
    "/below/%2e%2e/secret", "/below/%2E%2E/secret", "/below/.%2e/secret",
    "/below/a/../../secret", "/below/..%2fsecret", "/below/%2e%2e%2fsecret", "/below/..\\secret",
    "/below/..%5csecret", "/below/..;/secret", "/below//../secret", "/below/..", "/below/%252e%252e/secret",
]  # fmt: skip


@pytest.mark.parametrize("target", ESCAPES)
def test_no_path_climbs_out_of_the_origin_prefix(node: Node, recording: Origin, target: str) -> None:
    before = len(recording.journal.exchanges)
    node.get(target)
    for exchange in recording.journal.exchanges[before:]:
        assert exchange.target.startswith("/fenced/")
        plain = unquote(exchange.path).replace("\\", "/").replace("..;", "..")
        assert posixpath.normpath(plain).startswith("/fenced")


def refusing(status: int, good: Answer, name: str, value: str = "") -> Answer:
    """An origin that answers `status` to requests which carry a field."""

    async def answer(exchange: Exchange, wire: Wire) -> None:
        if value in exchange.get(name) and exchange.all(name):
            await wire.send(head(status, [("Content-Length", "0")]))
        else:
            await good(exchange, wire)

    return answer


DENIALS: dict[str, tuple[int, Fields, str]] = {
    "oversize header": (400, [("X-Oversized", "a" * 8000)], "x-oversized"),
    "method override": (404, [("X-HTTP-Method-Override", "POST")], "x-http-method-override"),
    "range": (416, [("Range", "bytes=5000000-")], "range"),
    "bad range": (416, [("Range", "bytes=z-")], "range"),
    "if-match": (412, [("If-Match", '"x"')], "if-match"),
    "if-unmodified-since": (
        412,
        [("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:01 GMT")],
        "if-unmodified-since",
    ),
    "if-none-match": (304, [("If-None-Match", '"attacker"')], "if-none-match"),
    "if-modified-since": (304, [("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")], "if-modified-since"),
    "upgrade": (426, [("Connection", "Upgrade"), ("Upgrade", "x")], "upgrade"),
    "forwarded port": (502, [("X-Forwarded-Port", "1")], "x-forwarded-port"),
    "user agent": (403, [("User-Agent", "scanner")], "user-agent"),
    "unknown": (500, [("X-Crash", "1")], "x-crash"),
    "accept": (406, [("Accept", "x/x")], "accept"),
    "too many": (429, [("X-Rate", "1")], "x-rate"),
    "gone": (404, [("X-Gone", "1")], "x-gone"),
}


@pytest.mark.parametrize("name", DENIALS)
def test_an_error_one_client_provoked_is_not_served_to_the_next(
    node: Node, recording: Origin, name: str
) -> None:
    status, fields, trigger = DENIALS[name]
    path = f"/denial/{next(numbers)}"
    body = recording.put(path, 1000, fields=[("Vary", "Accept-Encoding")])
    recording.paths[path] = refusing(status, recording.paths[path], trigger)
    node.get(path, fields)
    answer = node.get(path)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    "status", [400, 401, 403, 405, 406, 409, 412, 413, 416, 417, 426, 429, 500, 502, 503, 504]
)
def test_an_error_without_explicit_freshness_is_not_stored(
    node: Node, recording: Origin, status: int
) -> None:
    path = f"/error/{status}"
    body = recording.put(path, 1000)
    recording.paths[path] = Script(counted([], status), recording.paths[path])
    assert node.get(path).status == status
    answer = node.get(path)
    assert (answer.status, answer.body) == (200, body)


DECEPTIONS = [
    "/account/x.css", "/account;x.css", "/account%2f..%2fx.js", "/account/robots.txt", "/account.png",
    "/account/%0ax.css", "/account/static/../x.woff2", "/account?x.jpg",
]  # fmt: skip
PRIVATE_HEADS: dict[str, Fields] = {
    "private": [("Cache-Control", "private, max-age=60")],
    "no-store": [("Cache-Control", "no-store")],
    "cookie set": [("Cache-Control", "max-age=60"), ("Set-Cookie", "session=8f14e45fceea")],
    "silent": [],
}


@pytest.mark.parametrize("kind", PRIVATE_HEADS)
@pytest.mark.parametrize("target", DECEPTIONS)
def test_a_path_that_looks_static_makes_nothing_storable(
    node: Node, recording: Origin, target: str, kind: str
) -> None:
    recording.prefixes["/account"] = counted(PRIVATE_HEADS[kind])
    mark = f"{'&' if '?' in target else '?'}{next(numbers)}"
    node.get(target + mark, [("Cookie", "session=victim")])
    assert b"victim" not in node.get(target + mark).body


def test_only_get_fills_what_get_finds(node: Node, recording: Origin) -> None:
    for method in ("HEAD", "POST", "OPTIONS", "PUT", "REPORT"):
        path = f"/only/{method}"
        body = recording.put(path, 1000)
        fill = counted([("Cache-Control", "max-age=3600")])
        recording.paths[path] = Script(fill, recording.paths[path])
        node.get(path, method=method)
        assert node.get(path).body == body


def test_head_is_answered_from_what_get_stored(node: Node, recording: Origin) -> None:
    recording.put("/headed", 5000)
    node.get("/headed")
    answer = node.get("/headed", method="HEAD")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "5000", b"")
    assert recording.journal.count("/headed") == 1


def test_an_unsafe_method_invalidates(node: Node, recording: Origin) -> None:
    recording.put("/unsafe", 100)
    node.get("/unsafe")
    node.get("/unsafe", method="POST")
    node.get("/unsafe")
    assert recording.journal.count("/unsafe", "GET") == 2


def test_a_purge_overtakes_the_fill_that_runs(node: Node, recording: Origin) -> None:
    old = counted([("Cache-Control", "max-age=3600")], delay=0.6)
    new = Resource(b"new" * 100)
    recording.paths["/purged"] = Script(old, new)
    first = threading.Thread(target=node.get, args=("/purged",))
    first.start()
    assert eventually(lambda: recording.journal.count("/purged") == 1)
    node.purge("all")
    first.join()
    assert node.get("/purged").body == b"new" * 100


def test_a_purge_removes_every_variant(node: Node, recording: Origin) -> None:
    recording.put("/varied", 500, fields=[("Vary", "Accept-Language")])
    for language in ("de", "fr", "nl"):
        node.get("/varied", [("Accept-Language", language)])
    node.purge("url", recording.url + "/varied")
    for language in ("de", "fr", "nl"):
        node.get("/varied", [("Accept-Language", language)])
    assert recording.journal.count("/varied") == 6


def test_variants_of_one_url_are_bounded(node: Node, recording: Origin) -> None:
    recording.put("/explosion", 100, fields=[("Vary", "X-Any")])
    before = node.metric("memory_responses")
    for number in range(200):
        assert node.get("/explosion", [("X-Any", str(number))]).status == 200
    assert node.metric("memory_responses") - before <= 64


def test_a_variant_is_given_only_to_who_asked_for_it(node: Node, recording: Origin) -> None:
    async def answer(exchange: Exchange, wire: Wire) -> None:
        text = exchange.get("accept-language", "none").encode()
        fields = [("Vary", "Accept-Language"), ("Cache-Control", "max-age=60")]
        await wire.send(head(200, [*fields, ("Content-Length", str(len(text)))]) + text)

    recording.paths["/language"] = answer
    for language in ["de", "fr", "de", "nl", "fr"]:
        assert node.get("/language", [("Accept-Language", language)]).body == language.encode()
    assert node.get("/language").body == b"none"
    assert recording.journal.count("/language") == 4


def test_ranges_cost_the_origin_no_more_than_the_whole(node: Node, recording: Origin) -> None:
    size = 1_000_000
    body = recording.put("/amplified", size)
    many = ",".join(f"{n}-{n}" for n in range(0, 2000, 2))
    with RawClient(node.http) as client:
        client.send(request("/amplified", [("Range", f"bytes={many}")]))
        answer = client.read()
    assert answer.status in (200, 416)
    overlapping = node.get("/amplified", [("Range", "bytes=" + ",".join(["0-"] * 10))])
    assert len(overlapping.body) <= size + 10_000
    assert node.get("/amplified").body == body
    assert recording.journal.sent("/amplified") <= 2 * size
