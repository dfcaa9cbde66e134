from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from route_world import status

from edgeproxy.admin.api import Unusable
from edgeproxy.admin.routing import RoutingApi


class Views:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def routing_status(self) -> dict[str, Any]:
        return status()

    def routing_explain(self, ip: str, url: str) -> dict[str, Any]:
        self.asked.append((ip, url))
        return {"decision": "paris"}


def answered(target: str) -> tuple[int, str, str]:
    @web.middleware
    async def errors(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except Unusable as error:
            return web.Response(status=error.status, text=str(error))

    async def ask() -> tuple[int, str, str]:
        application = web.Application(middlewares=[errors])
        application.add_routes(RoutingApi(Views()).routes())
        async with TestClient(TestServer(application)) as client, client.get(target) as response:
            policy = response.headers.get("Content-Security-Policy", "")
            return response.status, policy, await response.text()

    return asyncio.run(ask())


def test_the_page_may_load_nothing() -> None:
    code, policy, text = answered("/route/status")
    assert (code, text[:15]) == (200, "<!doctype html>")
    assert policy.startswith("default-src 'none';")


def test_a_decision_is_explained() -> None:
    code, _, text = answered("/route/explain?ip=192.0.2.1&url=/a")
    assert (code, orjson.loads(text)) == (200, {"decision": "paris"})


@pytest.mark.parametrize("query", ["", "ip=", "url=/a", "ip=1.1.1.1&x=1", f"ip={'1' * 65}"])
def test_what_cannot_be_explained_is_refused(query: str) -> None:
    assert answered(f"/route/explain?{query}")[0] == 400


def test_the_status_is_there_for_programs_too() -> None:
    told = orjson.loads(answered("/api/v1/routing")[2])
    assert (told["map"]["generation"], "countries" in told) == (42, False)
