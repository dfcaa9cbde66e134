"""A router over a small world that stands still, with somebody behind it who answers from a table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from router_world import COUNTRIES, NOW, PLACES, node

from edgeproxy.config_router import Router
from edgeproxy.message import BytesBody, Headers, HeadOnly, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.router.client import Address, Client, Whereabouts, identify
from edgeproxy.router.decide import Decision
from edgeproxy.router.file_facts import KnownFiles
from edgeproxy.router.files import Files
from edgeproxy.router.hop import Signer
from edgeproxy.router.http_router import HttpRouter
from edgeproxy.router.snapshot import Snapshot
from edgeproxy.tasks import Tasks

SECRET = "0123456789abcdef" * 2
SITES = (
    ("python-index", "/pypi", ()),
    ("huggingface", "/hf", ()),
    ("generic", "/files", ()),
)
CITIES = sorted(PLACES)


def address_at(city: str) -> str:
    """An address of a client there."""
    return f"198.{CITIES.index(city)}.1.7"


class _Atlas:
    def whereabouts(self, address: Any) -> Whereabouts:
        first, second = str(address).split(".")[:2] if "." in str(address) else ("", "")
        if first != "198" or int(second) >= len(CITIES):
            return Whereabouts()
        city = CITIES[int(second)]
        return Whereabouts(COUNTRIES[city], PLACES[city])


class StandingStill:
    """Implements Routing over one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.complaints: list[tuple[str, str]] = []
        self.lasting: dict[Address | None, set[str]] = {}
        self.decisions: list[Decision] = []
        self._watching: list[Callable[[], None]] = []

    def client(self, address: Address | None, *, bits: int | None = None) -> Client:
        return identify(address, _Atlas(), bits=bits)

    def decided(self, client: Client, decision: Decision) -> None:
        self.decisions.append(decision)

    def complained(self, client: Client, node: str, *, lasts: bool = False) -> None:
        self.complaints.append((client.prefix, node))
        if lasts:
            self.lasting.setdefault(client.address, set()).add(node)

    def excluded(self, client: Client) -> frozenset[str]:
        return frozenset(self.lasting.get(client.address, ()))

    def watch(self, changed: Callable[[], None]) -> None:
        self._watching.append(changed)

    def change(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        for changed in self._watching:
            changed()


class Behind:
    """A Handler: `sizes` are those of files by target; everything else is a page of 100 bytes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.fields: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append((request.method, request.target))
        size = self.sizes.get(request.target)
        kind = "text/html" if size is None else "application/octet-stream"
        headers = Headers((("Content-Type", kind), *self.fields.items()))
        length = 100 if size is None else size
        is_told = request.method == "HEAD" or length > 1000  # the content itself matters to nobody here
        body = HeadOnly(length) if is_told else BytesBody(b"x" * length)
        return Response(200, headers, body)


class World:
    """`ask` is what a client at a city gets."""

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        settings: Router | None = None,
        snapshot: Snapshot | None = None,
        secret: str = "",
        originals: Mapping[str, str] | None = None,
    ) -> None:
        nodes = tuple(node(city) for city in ("paris", "tokyo", "denver"))
        self.routing = StandingStill(snapshot or Snapshot(nodes, made_at=NOW, generation=1))
        self.behind = Behind(sizes)
        self.now = NOW
        self.metrics = Metrics()
        self.signer = Signer(secret) if secret else None
        self.settings = settings or Router(duplicates=0)
        known = KnownFiles(self.settings.facts, self.settings.facts_ttl, lambda: self.now)
        self.router = HttpRouter(
            self.settings,
            self.routing,
            self.behind,
            files=Files(SITES),
            original=lambda request: (originals or {}).get(request.target),
            signer=self.signer,
            known=known,
            tasks=Tasks(lambda name, error: None),
            metrics=self.metrics,
            clock=lambda: self.now,
            draw=lambda: 0.999,
        )

    def ask(
        self,
        target: str,
        city: str = "berlin",
        *,
        method: str = "GET",
        fields: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Response:
        request = Request(
            method,
            target,
            Headers((fields or {}).items()),
            authority="router.example",
            client=address_at(city),
            **changes,
        )

        async def asked() -> Response:
            return await self.router(request)

        return asyncio.run(asked())


def where(response: Response) -> str:
    """The node a client is sent to, "" if it is answered here."""
    return response.headers.get("Location").removeprefix("http://").partition(".example")[0]
