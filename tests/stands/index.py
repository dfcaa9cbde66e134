"""A package index on two ports: pages on one, files on the other, with faults to order.

Pages come as JSON or HTML by Accept, with ETag, max-age=600, Vary and a serial; files are immutable,
answer ranges and never 304; wheels have sidecars."""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stands.origin import Resource, head
from stands.wheels import Distribution
from stands.wire import Exchange, Wire, WireServer

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass
class Faults:
    """What goes wrong, by project name or file name. All are off at first."""

    error_share: float = 0.0  # of all answers: 503, 500 or an RST
    page_status: dict[str, int] = field(default_factory=dict)
    empty_pages: set[str] = field(default_factory=set)
    page_delay: float = 0.0
    file_delay: float = 0.0  # between pieces of a file
    wrong_files: set[str] = field(default_factory=set)  # one byte flipped, same length
    cut_files: dict[str, int] = field(default_factory=dict)  # so many answers stop half way
    file_status: dict[str, int] = field(default_factory=dict)
    missing_sidecars: set[str] = field(default_factory=set)
    wrong_sidecars: set[str] = field(default_factory=set)
    html_only: bool = False
    no_sidecars: bool = False  # neither served nor advertised


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _etag(distribution: Distribution, content: bytes) -> str:
    is_own = content is distribution.content  # which is hashed once, whoever asks
    return f'"{distribution.md5 if is_own else hashlib.md5(content).hexdigest()}"'


class Index:
    """`serials` may be lowered by a test to play an old backend."""

    def __init__(self, files: Iterable[Distribution]) -> None:
        self.files: dict[str, list[Distribution]] = {}
        self.by_path: dict[str, Distribution] = {}
        self.serials: dict[str, int] = {}
        self.faults = Faults()
        self._dice = random.Random(7)
        for distribution in files:
            self.add(distribution)
        self.pages_server = WireServer(self._answer_page)
        self.files_server = WireServer(self._answer_file)

    @property
    def url(self) -> str:
        return f"{self.pages_server.url}/simple/"

    @property
    def files_url(self) -> str:
        return self.files_server.url

    def add(self, distribution: Distribution) -> None:
        """Publish one more file, or replace its bytes; the project's serial grows."""
        name = normalised(distribution.project)
        self.files.setdefault(name, []).append(distribution)
        self.by_path[distribution.path] = distribution
        self.serials[name] = self.serials.get(name, 1000) + 1

    def file(self, filename: str) -> Distribution:
        return next(d for d in self.by_path.values() if d.filename == filename)

    def down(self) -> None:
        """Refuse connections until `up`."""
        self.pages_server.close()
        self.files_server.close()

    def up(self) -> None:
        self.pages_server.open()
        self.files_server.open()

    def stop(self) -> None:
        self.pages_server.stop()
        self.files_server.stop()

    def requests(self) -> list[tuple[str, str]]:
        """Everything asked so far, pages and files."""
        return self.pages_server.journal.targets() + self.files_server.journal.targets()

    def repeated(self) -> dict[str, int]:
        """Targets that were asked for with GET more than once, and how often."""
        seen: dict[str, int] = {}
        for method, target in self.requests():
            if method == "GET":
                seen[target] = seen.get(target, 0) + 1
        return {target: count for target, count in seen.items() if count > 1}

    # Pages.

    async def _answer_page(self, exchange: Exchange, wire: Wire) -> None:
        if await self._fails(wire):
            return
        await asyncio.sleep(self.faults.page_delay)
        if found := re.fullmatch(r"/simple/([^/]+)/", exchange.path):
            await self._project_page(found[1], exchange, wire)
        elif found := re.fullmatch(r"/simple/([^/]+)", exchange.path):
            await self._short(wire, 301, [("Location", f"/simple/{normalised(found[1])}/")])
        elif found := re.fullmatch(r"/pypi/([^/]+)/json", exchange.path):
            await self._legacy_page(found[1], exchange, wire)
        else:
            await self._short(wire, 404)

    async def _project_page(self, name: str, exchange: Exchange, wire: Wire) -> None:
        if status := self.faults.page_status.get(name):
            await self._short(wire, status)
            return
        if name != normalised(name):
            await self._short(wire, 301, [("Location", f"/simple/{normalised(name)}/")])
            return
        if name not in self.files:
            await self._short(wire, 404)
            return
        wants_json = JSON_TYPE in exchange.get("accept") and not self.faults.html_only
        content = self._json(name) if wants_json else self._html(name)
        if name in self.faults.empty_pages:
            content = b""
        content_type = JSON_TYPE if wants_json else HTML_TYPE
        if not wants_json and HTML_TYPE not in exchange.get("accept"):
            content_type = "text/html"
        await self._page(name, content, content_type, exchange, wire, "max-age=600, public")

    async def _page(
        self, name: str, content: bytes, kind: str, exchange: Exchange, wire: Wire, cache_control: str
    ) -> None:
        fields = [("Content-Type", kind), ("Vary", "Accept"), ("X-PyPI-Last-Serial", str(self.serials[name]))]
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        await Resource(content, cache_control, etag, fields=fields, ranges=False)(exchange, wire)

    def _json(self, name: str) -> bytes:
        files = [self._json_file(distribution) for distribution in self.files[name]]
        versions = sorted({distribution.version for distribution in self.files[name]})
        meta = {"api-version": "1.1", "_last-serial": self.serials[name]}
        return json.dumps({"meta": meta, "name": name, "versions": versions, "files": files}).encode()

    def _json_file(self, distribution: Distribution) -> dict[str, Any]:
        marks: Any = False
        if distribution.metadata is not None and not self.faults.no_sidecars:
            marks = {"sha256": hashlib.sha256(distribution.metadata).hexdigest()}
        return {
            "filename": distribution.filename,
            "url": self.files_url + distribution.path,
            "hashes": {"sha256": distribution.sha256},
            "requires-python": distribution.requires_python or None,
            "yanked": distribution.yanked,
            "size": len(distribution.content),
            "upload-time": "2024-01-02T03:04:05.678901Z",
            "core-metadata": marks,
            "data-dist-info-metadata": marks,
        }

    def _html(self, name: str) -> bytes:
        lines = [
            "<!DOCTYPE html>\n<html>\n  <head>",
            '    <meta name="pypi:repository-version" content="1.3">',
            f"    <title>Links for {name}</title>\n  </head>\n  <body>\n    <h1>Links for {name}</h1>",
        ]
        lines.extend(self._anchor(distribution) for distribution in self.files[name])
        return ("\n".join(lines) + f"\n</body>\n</html>\n<!--SERIAL {self.serials[name]}-->").encode()

    def _anchor(self, distribution: Distribution) -> str:
        attributes = [f'href="{self.files_url}{distribution.path}#sha256={distribution.sha256}"']
        if distribution.requires_python:
            attributes.append(f'data-requires-python="{html.escape(distribution.requires_python)}"')
        if distribution.yanked:
            attributes.append(f'data-yanked="{html.escape(str(distribution.yanked))}"')
        if distribution.metadata is not None and not self.faults.no_sidecars:
            mark = f"sha256={hashlib.sha256(distribution.metadata).hexdigest()}"
            attributes += [f'data-dist-info-metadata="{mark}"', f'data-core-metadata="{mark}"']
        return f"<a {' '.join(attributes)}>{distribution.filename}</a><br />"

    async def _legacy_page(self, name: str, exchange: Exchange, wire: Wire) -> None:
        if name not in self.files:
            await self._short(wire, 404)
            return
        releases: dict[str, list[dict[str, Any]]] = {}
        for distribution in self.files[name]:
            entry = {
                "filename": distribution.filename,
                "url": self.files_url + distribution.path,
                "digests": {"sha256": distribution.sha256},
                "size": len(distribution.content),
                "yanked": bool(distribution.yanked),
                "requires_python": distribution.requires_python or None,
            }
            releases.setdefault(distribution.version, []).append(entry)
        latest = max(releases)
        info = {"name": name, "version": latest, "home_page": "https://project.example/"}
        document = {
            "info": info, "releases": releases, "urls": releases[latest], "last_serial": self.serials[name]
        }  # fmt: skip
        content = json.dumps(document).encode()
        await self._page(name, content, "application/json", exchange, wire, "max-age=900, public")

    # Files.

    async def _answer_file(self, exchange: Exchange, wire: Wire) -> None:
        if await self._fails(wire):
            return
        sidecar = exchange.path.endswith(".metadata")
        distribution = self.by_path.get(exchange.path.removesuffix(".metadata"))
        if distribution is None:
            await self._short(wire, 404)
            return
        name = distribution.filename
        if sidecar:
            content = distribution.metadata
            if content is None or self.faults.no_sidecars or name in self.faults.missing_sidecars:
                await self._short(wire, 404)
                return
            content = _flipped(content) if name in self.faults.wrong_sidecars else content
        elif status := self.faults.file_status.get(name):
            await self._short(wire, status)
            return
        else:
            content = (
                _flipped(distribution.content) if name in self.faults.wrong_files else distribution.content
            )
        if not sidecar and self.faults.cut_files.get(name, 0) > 0:
            self.faults.cut_files[name] -= 1
            fields = [("ETag", _etag(distribution, content)), ("Accept-Ranges", "bytes")]
            await wire.send(head(200, [*fields, ("Content-Length", str(len(content)))]))
            await wire.send(content[: len(content) // 2])
            await wire.close()
        exchange.fields = [pair for pair in exchange.fields if pair[0] != "if-none-match"]
        await self._resource(distribution, content)(exchange, wire)

    def _resource(self, distribution: Distribution, content: bytes) -> Resource:
        return Resource(
            content,
            "max-age=365000000, immutable, public",
            _etag(distribution, content),
            "Tue, 02 Jan 2024 03:04:05 GMT",
            fields=[("Content-Type", "application/octet-stream")],
            piece_delay=self.faults.file_delay,
        )

    # Both.

    async def _fails(self, wire: Wire) -> bool:
        """Whether this answer is one of those that fail; then it was given."""
        if self._dice.random() >= self.faults.error_share:
            return False
        kind = self._dice.choice([503, 500, 0])
        if kind == 0:
            await wire.reset()
        await self._short(wire, kind)
        return True

    async def _short(self, wire: Wire, status: int, fields: Iterable[tuple[str, str]] = ()) -> None:
        text = f"status {status}\n".encode()
        await wire.send(head(status, [*fields, ("Content-Length", str(len(text)))]) + text)
