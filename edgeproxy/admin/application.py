"""What answers behind the listener of the control plane: aiohttp, with the routes and the refusals.

Only server.py loads this module, once the node accepts clients: no client waits for its libraries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from edgeproxy.admin.api import BODY_BYTES_MAX, Api, Unusable, json
from edgeproxy.admin.guard import Guard
from edgeproxy.admin.versions import versions
from edgeproxy.admin.views import NodeViews
from edgeproxy.errors import RequestError
from edgeproxy.metrics import Metrics
from edgeproxy.serving.sockets import Listening
from edgeproxy.tasks import Report

_CLOSE_SECONDS = 2.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Application:
    """Made in any thread, used on the loop. `has_heir` tells whether another process answers by now."""

    def __init__(
        self,
        views: NodeViews,
        metrics: Metrics,
        guard: Guard,
        *,
        report: Report,
        has_heir: Callable[[], bool],
        further: Sequence[web.RouteDef],
    ) -> None:
        self._guard, self._report, self._has_heir = guard, report, has_heir
        application = web.Application(middlewares=[self._outermost], client_max_size=BODY_BYTES_MAX)
        application.add_routes([*Api(views, metrics, versions()).routes(), *further])
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_SECONDS
        )

    async def start(self) -> None:
        """Before anything is accepted."""
        await self._runner.setup()

    async def accept(self, bound: Listening) -> None:
        """Answer what comes there. Raises OSError."""
        for listening in bound.sockets:
            await web.SockSite(self._runner, listening.dup()).start()

    async def accept_no_more(self) -> None:
        """What is being answered still is."""
        for site in list(self._runner.sites):
            await site.stop()

    async def aclose(self) -> None:
        """Running answers get a moment to end."""
        await self._runner.cleanup()

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
        if self._has_heir():
            return _error(503, "another process has taken over; ask again")
        fields = request.headers
        refusal = self._guard.refusal(
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
