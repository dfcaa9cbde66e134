"""A stand-in hub of models for benchmarks, in two hosts: the hub, and the content delivery network it sends
clients to for large files. It answers what the released clients and the node ask (info, listings,
/resolve/ with its redirects, ranges), without users, Xet and uploads, and fails as hub_trouble.Rates says.

`/-/counts` at the hub tells what both were asked and sent since the last `/-/reset`, `/-/cdn?url=URL` sets
where clients are sent, `/-/rates?NAME=VALUE...` begins anew with other rates."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlencode

from benchmarks import bodies, machine, ranged
from benchmarks.hub_models import File, Models, entry
from benchmarks.hub_trouble import Draws, Rates
from benchmarks.replies import Fields, Reply, Request, document, held, read_request, send
from benchmarks.standing import Standing


@dataclass
class Counts:
    """`failed` are answers that were made to fail, by who had asked."""

    requests: int = 0
    body_bytes: int = 0
    failed: dict[str, int] = field(default_factory=dict)


# -- what is answered ------------------------------------------------------------------------------


def _error(status: int, message: str, code: str = "", more: Fields | None = None) -> Reply:
    fields = {"X-Error-Message": message, **(more or {})}
    if code:
        fields["X-Error-Code"] = code
    return document({"error": message}, status, fields)


def _see(status: int, location: str, more: Fields) -> Reply:
    text = f"Redirecting to {location}".encode()
    return held(status, text, {"Content-Type": "text/plain; charset=utf-8", "Location": location, **more})


def _content(file: File, etag: str, more: Fields) -> Reply:
    fields = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **more}
    return Reply(200, file.size, partial(_read, file.body), fields, f'"{etag}"')


def _read(body: str, start: int, end: int) -> memoryview:
    return bodies.piece(body, start, end - start)


class Answers:
    """What a request gets when nothing fails. `cdn` is the URL under which clients reach the other host."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known = frozenset(models.names)
        self._by_cdn_name: dict[str, File] = {}
        self.cdn = ""

    def hub(self, request: Request) -> Reply:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        match parts:
            case ["api", "models", owner, name, *rest] if f"{owner}/{name}" in self._known:
                return self._api(f"{owner}/{name}", rest, request)
            case ["api", "resolve-cache", "models", owner, name, commit, *path]:
                return self._resolve(f"{owner}/{name}", commit, "/".join(path), request, is_pinned=True)
            case [owner, name, "resolve", revision, *path]:
                return self._resolve(f"{owner}/{name}", revision, "/".join(path), request, is_pinned=False)
        return _error(404, "Repository not found", "RepoNotFound")

    def _api(self, model: str, rest: list[str], request: Request) -> Reply:
        if len(rest) > 1 and rest[1] not in ("main", self._models.commit(model)):
            return _error(404, f"Invalid rev id: {rest[1]}", "RevisionNotFound")
        match rest:
            case [] | ["revision", _]:
                with_blobs = request.query.get("blobs", [""])[0].lower() == "true"
                return document(self._models.info(model, with_blobs=with_blobs))
            case ["tree", _]:
                return document(self._models.tree(model))
            case ["paths-info", _] if request.method == "POST":
                files = self._models.files(model)
                return document([entry(files[path]) for path in _paths(request) if path in files])
            case ["refs"]:
                main = {"name": "main", "ref": "refs/heads/main", "targetCommit": self._models.commit(model)}
                return document({"branches": [main], "tags": [], "converts": []})
        return _error(404, "Sorry, we can't find the page you are looking for.")

    def _resolve(self, model: str, revision: str, path: str, request: Request, *, is_pinned: bool) -> Reply:
        if model not in self._known:
            return _error(404, "Repository not found", "RepoNotFound")
        commit = self._models.commit(model)
        if revision not in ("main", commit):
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        pinned = {"X-Repo-Commit": commit}
        file = self._models.files(model).get(path)
        if file is None:
            return _error(404, "Entry not found", "EntryNotFound", pinned)
        linked = {**pinned, "X-Linked-Etag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if file.large:
            self._by_cdn_name[file.cdn_name] = file
            linked |= {"X-Linked-Size": str(file.size), "Cache-Control": "no-store"}
            number = hashlib.md5(model.encode()).hexdigest()[:24]
            return _see(302, f"{self.cdn}/bridge/{number}/{file.cdn_name}?Expires=1&Signature=s", linked)
        if is_pinned:
            kept = {"Cache-Control": "public, max-age=604800, immutable"}
            return _content(file, file.oid, pinned | kept)
        asked = quote(request.path, safe="")
        place = f"/api/resolve-cache/models/{model}/{commit}/{quote(path)}"
        return _see(307, f"{place}?{asked}=&etag=%22{file.oid}%22", linked)

    def content(self, request: Request) -> Reply:
        """Of the content delivery network."""
        file = self._by_cdn_name.get(request.path.rpartition("/")[2])
        if file is None:
            return held(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        return _content(file, file.cdn_name, {"Cache-Control": "public, max-age=31536000"})


def _paths(request: Request) -> list[str]:
    if "json" in request.fields.get("content-type", ""):
        return [str(path) for path in json.loads(request.body)["paths"]]
    return parse_qs(request.body.decode()).get("paths", [])


# -- serving ---------------------------------------------------------------------------------------


class Serving:
    """Both hosts, which fail as `rates` say until others are ordered."""

    def __init__(self, models: Models, rates: Rates | None = None) -> None:
        self.answers = Answers(models)
        self.counts = Counts()
        self._draws = Draws(rates or Rates())

    async def hub(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, self._hub)

    async def cdn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, self._cdn)

    async def _hub(self, request: Request) -> Reply:
        if request.path.startswith("/-/"):
            return self._ordered(request)
        await asyncio.sleep(self._draws.rates.think)
        return self.answers.hub(request)

    async def _cdn(self, request: Request) -> Reply:
        await asyncio.sleep(self._draws.rates.cdn_think)
        return self.answers.content(request)

    def _sent(self, count: int) -> None:
        self.counts.body_bytes += count

    def _ordered(self, request: Request) -> Reply:
        query = request.query
        told = document(vars(self.counts) | {"failed": dict(self._draws.failed)})
        if request.path == "/-/reset":
            self.counts, self._draws = Counts(), Draws(self._draws.rates)
        elif request.path == "/-/cdn":
            self.answers.cdn = query["url"][0]
        elif request.path == "/-/rates":
            self._draws = Draws(Rates(**{name: float(query[name][0]) for name in query}))
        return told

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Request], Awaitable[Reply]],
    ) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                request = await read_request(reader)
                is_order = request.path.startswith("/-/")
                trouble = "" if is_order else self._draws.draw(request.who, request.path)
                if not is_order:
                    self.counts.requests += 1
                if trouble == "silent":
                    await reader.read()  # until the other side has had enough
                    break
                reply = await answer(request)
                if trouble == "reset":
                    writer.transport.abort()
                    break
                if trouble == "status":
                    reply = _error(503, "Internal Error - We're working hard to fix this")
                await send(writer, request, reply, is_cut=trouble == "cut", counted=self._sent)
                if trouble == "cut" or request.fields.get("connection", "").lower() == "close":
                    break
        writer.close()


# -- a process of its own ----------------------------------------------------------------------------


class Hub:
    """The hub as a process on the load core, while the `with` block lasts. Clients are sent to the content
    delivery network at `cdn_address` until `send_to` names another way there."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def __enter__(self) -> Self:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(self.models).items()]
        self._standing = Standing("hub", *flags, count=2)
        self.address, self.cdn_address = self._standing.addresses
        self.url = self._standing.url
        self.send_to(f"http://{self.cdn_address}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._standing.stop()

    def send_to(self, cdn_url: str) -> None:
        """Redirect large files there."""
        self._standing.ask("cdn?" + urlencode({"url": cdn_url}))

    def fail(self, rates: Rates) -> None:
        """From now on; who asks for what for the how manieth time is counted anew."""
        self._standing.ask("rates?" + urlencode(asdict(rates)))

    def counts(self) -> Counts:
        return Counts(**self._standing.ask("counts"))

    def reset(self) -> None:
        self._standing.ask("reset")


async def _main(models: Models) -> None:
    serving = Serving(models)
    hub = await asyncio.start_server(serving.hub, "127.0.0.1", 0, backlog=1024)
    # Another address, not another port: some clients would take a port of the same host for the hub itself.
    cdn = await asyncio.start_server(serving.cdn, "127.0.0.2", 0, backlog=1024)
    places = ["{}:{}".format(*server.sockets[0].getsockname()[:2]) for server in (hub, cdn)]
    serving.answers.cdn = f"http://{places[1]}"
    print(f"hub: ready {' '.join(places)}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=4, help="models")
    parser.add_argument("--shards", type=int, default=2, help="of each model")
    parser.add_argument("--shard-bytes", type=int, default=1 << 20)
    options = parser.parse_args()
    machine.pin(machine.load_core())
    with contextlib.suppress(KeyboardInterrupt):
        ranged.run(_main(Models(options.count, options.shards, options.shard_bytes)))


if __name__ == "__main__":
    main()
