"""The listener of the control plane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from edgeproxy.address import parse_address
from edgeproxy.admin.api import BODY_BYTES_MAX, Api, Unusable, json
from edgeproxy.admin.guard import Guard
from edgeproxy.admin.versions import versions
from edgeproxy.admin.views import NodeViews
from edgeproxy.config import Admin, Listen
from edgeproxy.errors import RequestError, StartError
from edgeproxy.metrics import Metrics
from edgeproxy.serving.sockets import Listening, bind, remove_path
from edgeproxy.tasks import Report

_CLOSE_SECONDS = 2.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminServer:
    """/healthz, /readyz, /metrics and /api/v1/..., on a listener of their own.

    `report` is told of faults of ours; whoever asked then gets 500 and no detail. `bound` is what it listens
    at; sockets that are there already are not bound again. With an heir another process listens there too.
    `further` routes are answered as well."""

    def __init__(
        self,
        settings: Admin,
        views: NodeViews,
        metrics: Metrics,
        *,
        report: Report,
        bound: Listening | None = None,
        owns_path: bool = True,
        further: Sequence[web.RouteDef] = (),
    ) -> None:
        self._further = further
        self._settings = settings
        self._views = views
        self._metrics = metrics
        self._report = report
        self._guard: Guard | None = None
        self._runner: web.AppRunner | None = None
        self.bound = bound
        self.has_heir = False
        self._owns_path = owns_path

    async def start(self) -> str:
        """Listen; returns the address with the port the kernel chose, "" when switched off. Raises
        StartError when the address cannot be used, or is not local and there is no token."""
        settings = self._settings
        if not settings.listen:
            return ""
        try:
            address = parse_address(settings.listen)
        except ValueError as error:
            raise StartError(f"admin.listen: {error}") from None
        if not address.is_local and not settings.token:
            raise StartError(f"admin.listen: {address} is not a loopback address: set admin.token")
        self._guard = Guard.of(settings.token, address, settings.hosts, socket.gethostname())
        runner = self._runner = web.AppRunner(
            await self._application(), access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_SECONDS
        )
        await runner.setup()
        try:
            if self.bound is None:
                self.bound = await asyncio.to_thread(bind, "admin", settings.listen, Listen())
            await self._accept(runner, self.bound)
        except (OSError, StartError) as error:
            await self.aclose()
            raise StartError(f"admin.listen: {error}") from None
        return self.bound.name

    async def _accept(self, runner: web.AppRunner, bound: Listening) -> None:
        for listening in bound.sockets:
            await web.SockSite(runner, listening.dup()).start()

    async def leave(self) -> None:
        """Another process listens at the same sockets: accept nothing, and refuse what comes over
        connections that are open. What is being answered still is."""
        self.has_heir = True
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()

    async def come_back(self) -> None:
        """The other process came to nothing."""
        self.has_heir = False
        if self._runner is not None and self.bound is not None:
            await self._accept(self._runner, self.bound)

    async def aclose(self) -> None:
        """Stop listening; running answers get a moment to end. May be called at any time."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        bound, self.bound = self.bound, None
        if bound is not None:
            bound.close()
            if self._owns_path and not self.has_heir:
                await asyncio.to_thread(remove_path, bound)

    async def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._outermost], client_max_size=BODY_BYTES_MAX)
        api = Api(self._views, self._metrics, await asyncio.to_thread(versions))
        application.add_routes([*api.routes(), *self._further])
        return application

    @web.middleware
    async def _outermost(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        """Refuse whoever may not ask, and turn every failure into JSON."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            return await handler(request)
        except Unusable as error:
            return _error(error.status, str(error))
        except RequestError as error:
            return _error(error.status, str(error))
        except web.HTTPException as error:
            return _error(error.status, error.reason, allow=error.headers.get("Allow", ""))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the outermost step of a control plane request
            self._report("admin", error)
            return _error(500, "the node could not do this; its log says why")

    def _refused(self, request: web.Request) -> web.Response | None:
        guard = self._guard
        if self.has_heir:
            return _error(503, "another process has taken over; ask again")
        if guard is None:
            return _error(503, "the admin listener is not open")
        fields = request.headers
        refusal = guard.refusal(
            request.method,
            request.path,
            fields.getall("Host", []),
            fields.getall("Authorization", []),
            fields.getall("Origin", []),
            fields.get("Sec-Fetch-Site", ""),
        )
        return None if refusal is None else _error(refusal.status, refusal.message)


def _error(status: int, message: str, *, allow: str = "") -> web.Response:
    response = json({"error": message}, status=status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if allow:
        response.headers["Allow"] = allow
    if status in (401, 403, 413, 503):
        response.force_close()
    return response
