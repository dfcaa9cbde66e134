from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgeproxy.admin.server import AdminServer
from edgeproxy.config import Admin
from edgeproxy.errors import RequestError, StorageError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.storage.store import Purge


@dataclass
class FakeNode:
    """A node that says what it was told to say, and remembers what it was asked."""

    ready: tuple[bool, str] = (True, "")
    purges: list[Purge] = field(default_factory=list)
    explained: list[tuple[str, str, Headers]] = field(default_factory=list)
    fault: Exception | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def status(self) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        return {"node": {"name": "edge-1"}}

    def is_ready(self) -> tuple[bool, str]:
        return self.ready

    async def purge(self, purge: Purge) -> None:
        if purge.value == "absent":
            raise RequestError(404, "no site has this name")
        self.purges.append(purge)

    async def listing(self, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
        if prefix == "trouble":
            raise StorageError("the index is gone")
        found = [row for row in self.rows if row["key"].startswith(prefix) and row["place"] > after]
        return found[:limit]

    async def explain(self, url: str, method: str, headers: Headers) -> dict[str, Any]:
        self.explained.append((url, method, headers))
        return {"url": url, "decision": "hit"}


@dataclass
class Running:
    """An admin server that accepts connections; `url` has no slash at its end."""

    server: AdminServer
    node: FakeNode
    metrics: Metrics
    faults: list[BaseException]
    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[AdminServer] = []

    async def begin(**settings: Any) -> Running:
        node, metrics, faults = FakeNode(), Metrics(), list[BaseException]()
        server = AdminServer(
            Admin(**{"listen": "127.0.0.1:0", **settings}),
            node,
            metrics,
            report=lambda _, error: faults.append(error),
        )
        servers.append(server)
        return Running(server, node, metrics, faults, await server.start())

    yield begin
    for server in servers:
        await server.aclose()
