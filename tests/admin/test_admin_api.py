from typing import Any

import aiohttp
import pytest

from edgeproxy.admin.api import BODY_BYTES_MAX
from edgeproxy.storage.store import Purge, PurgeScope


async def get(address: str, **query: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(address, params=query) as answer:
        return answer.status, await answer.json()


async def post(url: str, body: bytes) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
        return answer.status, await answer.json()


async def test_healthz_tells_the_versions_of_what_faces_the_network(start: Any) -> None:
    running = await start()
    status, content = await get(f"{running.url}/healthz")
    assert status == 200
    assert {"aiofastnet", "uvloop", "pycurl", "openssl", "libcurl"} <= set(content["libraries"])


async def test_readyz_follows_the_node(start: Any) -> None:
    running = await start()
    assert await get(f"{running.url}/readyz") == (200, {"ready": True, "reason": ""})
    running.node.ready = (False, "draining")
    assert await get(f"{running.url}/readyz") == (503, {"ready": False, "reason": "draining"})


async def test_status_is_what_the_node_says(start: Any) -> None:
    running = await start()
    assert await get(f"{running.url}/api/v1/status") == (200, {"node": {"name": "edge-1"}})


async def test_metrics_are_prometheus_text(start: Any) -> None:
    running = await start()
    running.metrics.count("requests_total", "pypi", "hit", "200")
    async with aiohttp.ClientSession() as session, session.get(f"{running.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert 'edgeproxy_requests_total{cache="hit",site="pypi",status="200"} 1.0' in text


async def test_explain_hands_url_method_and_headers_to_the_node(start: Any) -> None:
    running = await start()
    query = [
        ("url", "/pypi/simple/x/"),
        ("method", "HEAD"),
        ("header", "Accept: a"),
        ("header", "Range:bytes=0-1 "),
    ]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.url}/api/v1/explain", params=query) as answer,
    ):
        assert (await answer.json())["decision"] == "hit"
    ((url, method, headers),) = running.node.explained
    assert (url, method) == ("/pypi/simple/x/", "HEAD")
    assert headers.pairs == (("Accept", "a"), ("Range", "bytes=0-1"))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"url": ""},
        {"url": "pypi/simple"},
        {"url": "ftp://a/"},
        {"url": "/a b"},
        {"url": "/a\n"},
        {"url": "/a", "method": "GET /"},
        {"url": "/a", "header": "no colon"},
        {"url": "/a", "header": "a b: c"},
        {"url": "/a", "header": "A: b\r\nC: d"},
        {"url": "/a", "verbose": "1"},
    ],
)
async def test_an_explain_that_cannot_be_understood_is_a_clear_400(start: Any, query: dict[str, str]) -> None:
    running = await start()
    status, content = await get(f"{running.url}/api/v1/explain", **query)
    assert status == 400
    assert "\n" not in content["error"]
    assert running.node.explained == []


@pytest.mark.parametrize(
    ("body", "purge"),
    [
        (b'{"scope": "all"}', Purge(PurgeScope.ALL)),
        (b'{"scope": "all", "soft": true}', Purge(PurgeScope.ALL, "", True)),
        (b'{"scope": "site", "value": "pypi"}', Purge(PurgeScope.SITE, "pypi")),
        (b'{"scope": "url", "value": "http://h/a"}', Purge(PurgeScope.URL, "http://h/a")),
        (b'{"scope": "prefix", "value": "http://h/"}', Purge(PurgeScope.PREFIX, "http://h/")),
        (b'{"scope": "tag", "value": "t", "soft": false}', Purge(PurgeScope.TAG, "t")),
    ],
)
async def test_a_purge_reaches_the_node_as_ordered(start: Any, body: bytes, purge: Purge) -> None:
    running = await start()
    status, content = await post(f"{running.url}/api/v1/purge", body)
    assert status == 200
    assert content == {"purged": True, "scope": purge.scope, "value": purge.value, "soft": purge.soft}
    assert running.node.purges == [purge]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"all",
        b"[]",
        b"{}",
        b'{"scope": "everything"}',
        b'{"scope": "all", "value": "x"}',
        b'{"scope": "site"}',
        b'{"scope": "site", "value": ""}',
        b'{"scope": "site", "value": 5}',
        b'{"scope": "site", "value": "a\\nb"}',
        b'{"scope": "all", "soft": "yes"}',
        b'{"scope": "all", "hard": true}',
        b'{"scope": "tag", "value": "' + b"x" * 20_000 + b'"}',
        b'{"scope": "\xff"}',
        b"[" * 100_000,
    ],
)
async def test_a_purge_that_cannot_be_understood_is_a_clear_400(start: Any, body: bytes) -> None:
    running = await start()
    status, content = await post(f"{running.url}/api/v1/purge", body)
    assert status == 400
    assert content["error"]
    assert running.node.purges == []
    assert running.faults == []


async def test_a_purge_body_over_the_bound_is_refused(start: Any) -> None:
    running = await start()
    status, _ = await post(f"{running.url}/api/v1/purge", b" " * (BODY_BYTES_MAX + 1))
    assert status == 413

    async def unannounced() -> Any:
        for _ in range(BODY_BYTES_MAX // 65536 + 1):
            yield b" " * 65536

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{running.url}/api/v1/purge", data=unannounced()) as answer,
    ):
        assert answer.status == 413
    assert running.node.purges == []


async def test_a_purge_of_what_does_not_exist_has_the_nodes_status(start: Any) -> None:
    running = await start()
    status, content = await post(f"{running.url}/api/v1/purge", b'{"scope": "site", "value": "absent"}')
    assert (status, content) == (404, {"error": "no site has this name"})


def row(key: str) -> dict[str, Any]:
    return {"key": key, "place": f"{key} w1", "name": "x", "tags": ["t"], "size_bytes": 2}


async def test_ls_gives_pages_by_prefix(start: Any) -> None:
    running = await start()
    running.node.rows = [row(f"http://o/{letter}") for letter in "abc"] + [row("http://p/d")]
    status, first = await get(f"{running.url}/api/v1/ls", prefix="http://o/", limit="2")
    assert (status, [found["key"] for found in first["rows"]]) == (200, ["http://o/a", "http://o/b"])
    assert first["rows"][0] == row("http://o/a")
    status, second = await get(
        f"{running.url}/api/v1/ls", prefix="http://o/", after=first["after"], limit="2"
    )
    assert (second["after"], [found["key"] for found in second["rows"]]) == ("", ["http://o/c"])


async def test_ls_says_when_the_store_cannot_tell(start: Any) -> None:
    running = await start()
    status, content = await get(f"{running.url}/api/v1/ls", prefix="trouble")
    assert (status, content) == (503, {"error": "the index is gone"})


async def test_ls_of_nothing_is_an_empty_page(start: Any) -> None:
    running = await start()
    assert await get(f"{running.url}/api/v1/ls") == (200, {"rows": [], "after": ""})


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "²"},
        {"limit": ""},
        {"what": "x"},
        {"prefix": "x" * 16385},
    ],
)
async def test_ls_refuses_what_it_does_not_know(start: Any, query: Any) -> None:
    running = await start()
    # The longest prefix does not fit into a request line of this server: it may refuse on its own.
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.url}/api/v1/ls", params=query) as answer,
    ):
        assert answer.status == 400
