"""A stand-in Python index for benchmarks, with wheels that it builds itself: pages in HTML with digests
(PEP 503), metadata beside the wheels (PEP 658), ranges, validators. Pages are fresh for ten minutes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from benchmarks import machine, ranged
from benchmarks.replies import Reply, Request, held, read_request, send
from benchmarks.standing import Standing
from benchmarks.wheels import Project, projects

_PAGE = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "max-age=600, public"}
_FILE = {
    "Content-Type": "application/octet-stream",
    "Cache-Control": "max-age=365000000, immutable, public",
    "Accept-Ranges": "bytes",
}
_SIMPLE = re.compile(r"/simple/([a-z0-9-]+)/")


class Answers:
    """What the index answers."""

    def __init__(self, known: Sequence[Project]) -> None:
        self._pages = {project.name: _page(project) for project in known}
        self._files: dict[str, bytes] = {}
        for project in known:
            self._files[_place(project)] = project.wheel
            self._files[f"{_place(project)}.metadata"] = project.metadata

    def answer(self, request: Request) -> Reply:
        if (page := _SIMPLE.fullmatch(request.path)) and page[1] in self._pages:
            text = self._pages[page[1]]
            return held(200, text, _PAGE, f'"{hashlib.md5(text).hexdigest()}"')
        if (data := self._files.get(request.path)) is not None:
            return held(200, data, _FILE, f'"{hashlib.md5(data).hexdigest()}"')
        return held(404, b"404 Not Found", {"Content-Type": "text/plain"})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                request = await read_request(reader)
                await send(writer, request, self.answer(request))
                if request.fields.get("connection", "").lower() == "close":
                    break
        writer.close()


def _place(project: Project) -> str:
    return f"/packages/{project.sha256[:2]}/{project.sha256[2:]}/{project.filename}"


def _page(project: Project) -> bytes:
    digest = hashlib.sha256(project.metadata).hexdigest()
    link = f'href="{_place(project)}#sha256={project.sha256}" data-core-metadata="sha256={digest}"'
    return (
        '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"><title>Links for '
        f"{project.name}</title></head><body><h1>Links for {project.name}</h1>"
        f'<a {link} data-dist-info-metadata="sha256={digest}">{project.filename}</a><br></body></html>'
    ).encode()


class Index:
    """The index as a process on the load core, while the `with` block lasts."""

    def __init__(self, count: int, least_bytes: int, most_bytes: int) -> None:
        self.projects = projects(count, least_bytes, most_bytes)
        self._flags = [f"--count={count}", f"--least={least_bytes}", f"--most={most_bytes}"]

    def __enter__(self) -> Self:
        self._standing = Standing("index", *self._flags)
        (self.address,) = self._standing.addresses
        self.url = self._standing.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._standing.stop()


async def _main(known: Sequence[Project]) -> None:
    server = await asyncio.start_server(Answers(known).serve, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"index: ready {host}:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="wheels")
    parser.add_argument("--least", type=int, default=1 << 20, help="bytes of the smallest")
    parser.add_argument("--most", type=int, default=8 << 20, help="bytes of the largest")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    with contextlib.suppress(KeyboardInterrupt):
        ranged.run(_main(projects(options.count, options.least, options.most)))


if __name__ == "__main__":
    main()
