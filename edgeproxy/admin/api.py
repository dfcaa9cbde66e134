"""The routes of the control plane. Answers are JSON; errors are {"error": "one line"}."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import orjson
from aiohttp import web

from edgeproxy.admin.metrics import Exposition, snapshot
from edgeproxy.admin.views import NodeViews
from edgeproxy.errors import ConfigurationError, StartError, StorageError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.storage.store import Purge, PurgeScope

BODY_BYTES_MAX = 1 << 20
VALUE_LENGTH_MAX = 16 << 10
HEADERS_MAX = 64
ROWS_MAX = 1000

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_URL = re.compile(r"(?:https?://[\x21-\x7e]{1,16384}|/[\x21-\x7e]{0,16384})", re.IGNORECASE)


class Unusable(Exception):
    """A request the API cannot act on: status 4xx and one line saying why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ReloadOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/reload; with `exec` a new process takes over."""

    exec: bool = False


class PurgeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/purge."""

    scope: PurgeScope
    value: str = ""
    soft: bool = False


def json(content: Any, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(content, default=str),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


class Api:
    """The handlers, over the views of one node."""

    def __init__(self, views: NodeViews, metrics: Metrics, versions: dict[str, str]) -> None:
        self._views = views
        self._metrics = metrics
        self._versions = versions
        self._exposition = Exposition(versions.get("edgeproxy", ""))
        self._rendering = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/api/v1/status", self.status),
            web.get("/api/v1/explain", self.explain),
            web.get("/api/v1/ls", self.ls),
            web.post("/api/v1/purge", self.purge),
            web.post("/api/v1/reload", self.reload),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        """The process runs its loop; nothing is said about the store or upstreams."""
        return json({"status": "ok", "version": self._versions.get("edgeproxy"), "libraries": self._versions})

    async def readyz(self, _: web.Request) -> web.Response:
        ready, reason = self._views.is_ready()
        return json({"ready": ready, "reason": reason}, status=200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        async with self._rendering:
            taken = snapshot(self._metrics)
            accept = request.headers.get("Accept", "")
            text, content_type = await asyncio.to_thread(self._exposition.render, taken, accept)
        return web.Response(body=text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def status(self, _: web.Request) -> web.Response:
        return json(self._views.status())

    async def explain(self, request: web.Request) -> web.Response:
        unknown = set(request.query) - {"url", "method", "header"}
        if unknown:
            raise Unusable(400, "parameters are url, method and header")
        url = request.query.get("url", "")
        if _URL.fullmatch(url) is None:
            raise Unusable(400, 'url is needed: "http://host/path" or "/path", as a client sends it')
        method = request.query.get("method", "GET")
        if _TOKEN.fullmatch(method) is None:
            raise Unusable(400, "method is not a method name")
        return json(await self._views.explain(url, method, _headers(request.query.getall("header", []))))

    async def ls(self, request: web.Request) -> web.Response:
        """A page of what is stored; `after` of the answer, unless "", asks for the next one."""
        if set(request.query) - {"prefix", "after", "limit"}:
            raise Unusable(400, "parameters are prefix, after and limit")
        prefix, after = request.query.get("prefix", ""), request.query.get("after", "")
        if len(prefix) > VALUE_LENGTH_MAX or len(after) > 2 * VALUE_LENGTH_MAX:
            raise Unusable(400, f"a prefix has at most {VALUE_LENGTH_MAX} characters")
        limit = request.query.get("limit", str(ROWS_MAX))
        if _NUMBER.fullmatch(limit) is None or int(limit) > ROWS_MAX:
            raise Unusable(400, f"limit is a number from 1 to {ROWS_MAX}")
        try:
            rows = await self._views.listing(prefix, after, int(limit))
        except StorageError as error:
            raise Unusable(503, str(error)) from None
        return json({"rows": rows, "after": rows[-1]["place"] if len(rows) == int(limit) else ""})

    async def purge(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > BODY_BYTES_MAX:
            raise Unusable(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        purge = _purge(await request.read())
        await self._views.purge(purge)
        return json({"purged": True, "scope": purge.scope, "value": purge.value, "soft": purge.soft})

    async def reload(self, request: web.Request) -> web.Response:
        """409 and one line saying why if nothing has changed."""
        try:
            order = msgspec.json.decode(await request.read() or b"{}", type=ReloadOrder)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Unusable(400, 'the body is not {"exec": true} or {"exec": false}') from None
        try:
            return json(await self._views.reload(order.exec))
        except (ConfigurationError, StartError) as error:
            raise Unusable(409, str(error)) from None


def _headers(lines: list[str]) -> Headers:
    if len(lines) > HEADERS_MAX:
        raise Unusable(400, f"more than {HEADERS_MAX} headers")
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or _TOKEN.fullmatch(name) is None or _FIELD_VALUE.fullmatch(value) is None:
            raise Unusable(400, 'header is written "Name: value"')
        pairs.append((name, value))
    return Headers(pairs)


def _purge(body: bytes) -> Purge:
    try:
        order = msgspec.json.decode(body, type=PurgeOrder)
    except msgspec.ValidationError as error:
        raise Unusable(400, f"the body is not a purge: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unusable(
            400, 'the body is not JSON: {"scope": "all|site|url|prefix|tag", "value": "...", "soft": false}'
        ) from None
    if order.scope is PurgeScope.ALL and order.value:
        raise Unusable(400, "a purge of all takes no value")
    if order.scope is not PurgeScope.ALL and not order.value:
        raise Unusable(400, f"a purge by {order.scope} needs a value")
    if len(order.value) > VALUE_LENGTH_MAX or not order.value.isprintable():
        raise Unusable(400, f"value is longer than {VALUE_LENGTH_MAX} characters or not printable")
    return Purge(order.scope, order.value, order.soft)
