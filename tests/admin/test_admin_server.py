import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgeproxy.errors import StartError


async def ask(method: str, url: str, **options: Any) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text()), answer.headers


async def test_it_listens_where_it_is_told_and_says_where_that_is(start: Any) -> None:
    running = await start()
    host, _, port = running.address.partition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    status, content, fields = await ask("GET", f"{running.url}/healthz")
    assert status == 200
    assert content["status"] == "ok"
    assert "Access-Control-Allow-Origin" not in fields


async def test_nothing_listens_when_it_is_switched_off(start: Any) -> None:
    running = await start(listen="")
    assert running.address == ""


async def test_it_can_listen_on_a_unix_socket(start: Any, tmp_path: Path) -> None:
    running = await start(listen=f"unix:{tmp_path}/admin")
    assert running.address == f"unix:{tmp_path}/admin"
    connector = aiohttp.UnixConnector(f"{tmp_path}/admin")
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/readyz") as answer,
    ):
        assert answer.status == 200
    await running.server.aclose()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
async def test_off_loopback_it_starts_with_a_token_only(start: Any, listen: str) -> None:
    with pytest.raises(StartError, match=r"admin\.token"):
        await start(listen=listen)
    if listen.startswith("0"):
        assert (await start(listen=listen, token="t")).address.startswith("0.0.0.0:")


async def test_a_port_in_use_is_one_clear_line(start: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError) as caught:
            await start(listen=address)
    assert str(caught.value) == f"admin.listen: cannot listen at {address}: Address already in use"


async def test_a_malformed_address_is_a_start_error(start: Any) -> None:
    with pytest.raises(StartError, match=r"admin\.listen"):
        await start(listen="nowhere")


async def test_it_can_be_closed_twice_and_listens_no_more(start: Any) -> None:
    running = await start()
    await running.server.aclose()
    await running.server.aclose()
    host, _, port = running.address.partition(":")
    with pytest.raises(OSError):
        await asyncio.open_connection(host, int(port))


async def test_with_a_token_everything_but_health_and_readiness_needs_it(start: Any) -> None:
    running = await start(token="right")
    for path in ("/metrics", "/api/v1/status", "/api/v1/explain?url=/x", "/absent"):
        status, content, fields = await ask("GET", running.url + path)
        assert (status, fields["WWW-Authenticate"]) == (401, "Bearer")
        assert "token" in content["error"]
        wrong = await ask("GET", running.url + path, headers={"Authorization": "Bearer wrong"})
        assert wrong[0] == 401
    right = await ask("GET", f"{running.url}/api/v1/status", headers={"Authorization": "Bearer right"})
    assert right[0] == 200
    for path in ("/healthz", "/readyz"):
        assert (await ask("GET", running.url + path))[0] == 200


async def test_a_foreign_host_is_refused_everywhere(start: Any) -> None:
    running = await start()
    for path in ("/healthz", "/readyz", "/metrics", "/api/v1/status"):
        status, content, _ = await ask("GET", running.url + path, headers={"Host": "attacker.example"})
        assert status == 403
        assert "Host" in content["error"]


async def test_a_post_from_another_origin_changes_nothing(start: Any) -> None:
    running = await start()
    for fields in (
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        status, *_ = await ask("POST", f"{running.url}/api/v1/purge", json={"scope": "all"}, headers=fields)
        assert status == 403
    assert running.node.purges == []
    same = {"Origin": running.url, "Sec-Fetch-Site": "same-origin"}
    assert (await ask("POST", f"{running.url}/api/v1/purge", json={"scope": "all"}, headers=same))[0] == 200
    assert len(running.node.purges) == 1


async def test_unknown_paths_and_methods_are_json_errors(start: Any) -> None:
    running = await start()
    status, content, _ = await ask("GET", f"{running.url}/absent")
    assert (status, content) == (404, {"error": "Not Found"})
    status, content, fields = await ask("GET", f"{running.url}/api/v1/purge")
    assert (status, fields["Allow"]) == (405, "POST")


async def test_a_fault_of_ours_is_reported_and_not_told_to_the_client(start: Any) -> None:
    running = await start()
    running.node.fault = fault = RuntimeError("secret detail")
    status, content, _ = await ask("GET", f"{running.url}/api/v1/status")
    assert status == 500
    assert "secret" not in content["error"]
    assert running.faults == [fault]
