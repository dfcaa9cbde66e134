"""The listener of the control plane. It is there when clients are first accepted; what is asked of it waits
in its queue until application.py has been loaded, which takes half as long as everything before."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgeproxy.address import parse_address
from edgeproxy.admin.guard import Guard
from edgeproxy.admin.views import NodeViews
from edgeproxy.config import Admin, Listen
from edgeproxy.errors import StartError
from edgeproxy.loading import loaded
from edgeproxy.metrics import Metrics
from edgeproxy.serving.sockets import Listening, bind, remove_path
from edgeproxy.tasks import Report, Tasks

if TYPE_CHECKING:
    from aiohttp import web

    from edgeproxy.admin.application import Application


def no_routes() -> Sequence[web.RouteDef]:
    return ()


class AdminServer:
    """/healthz, /readyz, /metrics and /api/v1/..., on a listener of their own.

    `report` is told of faults of ours; whoever asked then gets 500 and no detail. `bound` is what it listens
    at; sockets that are there already are not bound again. With an heir another process listens there too.
    `further` gives routes that are answered as well; it is called in a thread."""

    def __init__(
        self,
        settings: Admin,
        views: NodeViews,
        metrics: Metrics,
        *,
        report: Report,
        bound: Listening | None = None,
        owns_path: bool = True,
        further: Callable[[], Sequence[web.RouteDef]] = no_routes,
    ) -> None:
        self._further = further
        self._settings = settings
        self._views = views
        self._metrics = metrics
        self._report = report
        self._tasks = Tasks(report)
        self._opening: asyncio.Task[None] | None = None
        self._application: Application | None = None
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
        guard = Guard.of(settings.token, address, settings.hosts, socket.gethostname())
        if self.bound is None:
            try:
                self.bound = await asyncio.to_thread(bind, "admin", settings.listen, Listen())
            except StartError as error:
                raise StartError(f"admin.listen: {error}") from None
        self._opening = self._tasks.start(self._open(self.bound, guard), "admin")
        return self.bound.name

    async def _open(self, bound: Listening, guard: Guard) -> None:
        application = self._application = await loaded(lambda: self._load(guard))
        await application.start()
        if not self.has_heir:
            await application.accept(bound)

    def _load(self, guard: Guard) -> Application:
        from edgeproxy.admin.application import Application  # its libraries are needed from here on only

        return Application(
            self._views,
            self._metrics,
            guard,
            report=self._report,
            has_heir=lambda: self.has_heir,
            further=self._further(),
        )

    async def _opened(self) -> Application | None:
        """Once it is open; None if it never will be."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        return self._application

    async def leave(self) -> None:
        """Another process listens at the same sockets: accept nothing, and refuse what comes over
        connections that are open. What is being answered still is."""
        self.has_heir = True
        application = await self._opened()
        if application is not None:
            await application.accept_no_more()

    async def come_back(self) -> None:
        """The other process came to nothing."""
        application = await self._opened()
        self.has_heir = False
        if application is not None and self.bound is not None:
            await application.accept(self.bound)

    async def aclose(self) -> None:
        """Stop listening; running answers get a moment to end. May be called at any time."""
        await self._tasks.aclose()
        application, self._application = self._application, None
        if application is not None:
            await application.aclose()
        bound, self.bound = self.bound, None
        if bound is not None:
            bound.close()
            if self._owns_path and not self.has_heir:
                await asyncio.to_thread(remove_path, bound)
