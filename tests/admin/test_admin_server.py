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


async def test_what_is_asked_before_it_is_loaded_is_answered_when_it_is(start: Any) -> None:
    running = await start()
    asked = [asyncio.create_task(ask("GET", f"{running.url}/readyz")) for _ in range(5)]
    assert [status for status, *_ in await asyncio.gather(*asked)] == [200] * 5


async def test_it_leaves_and_comes_back_also_while_it_is_being_loaded(start: Any) -> None:
    running = await start()
    await running.server.leave()
    asked = asyncio.create_task(ask("GET", f"{running.url}/readyz"))
    await asyncio.sleep(0)
    await running.server.come_back()
    assert (await asked)[0] == 200


async def test_it_can_be_closed_while_it_is_being_loaded(start: Any) -> None:
    running = await start()
    await running.server.aclose()
    assert running.faults == []
    with pytest.raises(aiohttp.ClientError):
        await ask("GET", f"{running.url}/readyz")
