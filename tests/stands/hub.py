"""A stand-in Hugging Face hub: the hub, its CDN and its Xet storage, each on an address of its own.

    hub = Hub()
    hub.add_user("alice", "hf_alice")
    repository = hub.add("acme/tiny", {"config.json": b"{}", "model.safetensors": Pattern("w", 3 << 20)})
    repository.commit({"README.md": b"# new"})
    hub.faults.cut["model.safetensors"] = Cut(after=1_000_000, times=1)
    hub.down(); hub.up(); hub.stop()

Three hosts, because clients and nodes must tell them apart: a CDN on another port of the same host
would be given the token by some clients."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from stands.hub_answers import Fields, Refused, anonymous, error, see, send
from stands.hub_api import Api
from stands.hub_cas import Cas
from stands.hub_cdn import Cdn
from stands.hub_faults import Faults
from stands.hub_files import Files
from stands.hub_git import Git
from stands.hub_host import HostServer
from stands.hub_models import dataset_files, model_files
from stands.hub_repository import ATTRIBUTES, PREFIXES, Commit, Given, Repository
from stands.wire import Exchange, Wire

QUOTAS = {"api": 500, "resolvers": 3000, "pages": 100}
WINDOW_SECONDS = 300


@dataclass(frozen=True)
class Asked:
    """A request that reached one of the hosts ("hub", "cdn" or "cas"), the status it was answered with
    (0 if none was), and the bytes sent for it, of the head too."""

    host: str
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    status: int
    sent: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.fields if key == name), default)


class Hub:
    """Repositories, users and faults may be changed from the test while the hub serves.

    `xet` tells whether large files are announced with Xet data; `page_size` is the entries of a page of
    a tree. `renames` maps (kind, old id) to the id a repository has now."""

    def __init__(
        self, host: str = "127.0.0.1", cdn_host: str = "127.0.0.2", cas_host: str = "127.0.0.3"
    ) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.renames: dict[tuple[str, str], str] = {}
        self.users: dict[str, str] = {}  # by token
        self.faults = Faults()
        self.xet = True
        self.page_size = 1000
        self.seconds_ahead = 0.0
        self._answered = {"hub": 0, "cdn": 0}
        self._asked = dict.fromkeys(QUOTAS, 0)
        self._api, self._files, self._git = Api(self), Files(self), Git(self)
        self.server = HostServer(self._answer, host)
        self.cdn = Cdn(self, cdn_host)
        self.cas = Cas(self, cas_host)

    # Life.

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def servers(self) -> dict[str, HostServer]:
        return {"hub": self.server, "cdn": self.cdn.server, "cas": self.cas.server}

    def down(self, *hosts: str) -> None:
        """Refuse connections, of all hosts or of those named, until `up`; the ports stay the same."""
        for name in hosts or self.servers:
            self.servers[name].close()

    def up(self, *hosts: str) -> None:
        for name in hosts or self.servers:
            self.servers[name].open()

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()
        self._git.remove()

    def now(self) -> float:
        return time.time() + self.seconds_ahead

    def pass_time(self, seconds: float) -> None:
        """Set the hub's clock forward: signed URLs and Xet tokens given out before may have ended."""
        self.seconds_ahead += seconds

    # What there is.

    def add_user(self, name: str, token: str) -> str:
        self.users[token] = name
        return token

    def add(
        self,
        name: str,
        files: Mapping[str, Given] | None = None,
        kind: str = "model",
        private: bool = False,
        gated: str | bool = False,
        readers: Iterable[str] = (),
        large: Iterable[str] | None = None,
    ) -> Repository:
        """A new repository. As at the hub it begins with a commit of .gitattributes alone."""
        repository = Repository(kind, name, private, gated, set(readers))
        repository.commit({".gitattributes": ATTRIBUTES}, "initial commit", large=())
        if files:
            repository.commit(files, large=large)
        self.repositories[kind, name] = repository
        return repository

    def add_model(self, name: str, shards: int = 2, shard_bytes: int = 1 << 20, **options: Any) -> Repository:
        """A model that libraries can load; options are those of `add`."""
        return self.add(name, model_files(name, shards, shard_bytes), **options)

    def add_dataset(self, name: str, rows: int = 1000, **options: Any) -> Repository:
        """A data set in CSV; options are those of `add`."""
        return self.add(name, dataset_files(rows), kind="dataset", **options)

    def rename(self, repository: Repository, name: str) -> None:
        """Move a repository; its old id redirects from now on."""
        del self.repositories[repository.kind, repository.id]
        self.renames[repository.kind, repository.id] = name
        repository.id = name
        self.repositories[repository.kind, name] = repository

    def remove(self, repository: Repository) -> None:
        del self.repositories[repository.kind, repository.id]

    # What was asked.

    def asked(self, *hosts: str) -> list[Asked]:
        """Requests so far, of all hosts or of those named; of each host in the order they came."""
        return [
            Asked(name, e.method, e.target, tuple(e.fields), server.statuses.get(id(e), 0), e.sent)
            for name, server in self.servers.items()
            for e in list(server.journal.exchanges)
            if not hosts or name in hosts
        ]

    def count(self, part: str, method: str | None = None, host: str | None = None) -> int:
        """How many requests have `part` in their target."""
        found = [a for a in self.asked(*([host] if host else [])) if part in a.target]
        return len([a for a in found if method in (None, a.method)])

    def sent(self, *hosts: str) -> int:
        """Bytes sent so far, heads included, by all hosts or by those named."""
        return sum(asked.sent for asked in self.asked(*hosts))

    def leaks(self) -> list[Asked]:
        """Requests that carried what is for the hub alone to the CDN or the CAS."""

        def leaks(asked: Asked) -> bool:
            shown = asked.get("authorization")
            allowed = not shown or (asked.host == "cas" and shown.startswith("Bearer xet_"))
            return not allowed or bool(asked.get("cookie")) or any(t in asked.target for t in self.users)

        return [asked for asked in self.asked("cdn", "cas") if leaks(asked)]

    def forget(self) -> None:
        """Begin the record anew."""
        for server in self.servers.values():
            server.journal.exchanges.clear()
            server.statuses.clear()

    # Who may read what.

    def user(self, exchange: Exchange, is_api: bool) -> str:
        """The name behind the token of a request, "" without one. Raises Refused for a bad token."""
        scheme, _, value = exchange.get("authorization").partition(" ")
        if not scheme:
            return ""
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                value = ""
        if value not in self.users:
            raise error(401, "Invalid credentials in Authorization header", "", is_api)
        return self.users[value]

    def find(self, kind: str, name: str, exchange: Exchange, is_api: bool) -> Repository:
        """The repository a request names, if its caller may know of it. Raises Refused."""
        user = self.user(exchange, is_api)
        repository = self.repositories.get((kind, name))
        target = repository or self._meant(kind, name)
        if target is None or (target.private and not target.knows(user)):
            raise (
                anonymous(is_api) if not user else error(404, "Repository not found", "RepoNotFound", is_api)
            )
        if repository is None:
            place = rf"/{re.escape(name)}(?=[/.?]|$)"
            raise Refused(see(re.sub(place, lambda _: f"/{target.id}", exchange.target, count=1)))
        if target.disabled:
            raise error(403, "Access to this resource is disabled.", "", is_api)
        return target

    def _meant(self, kind: str, name: str) -> Repository | None:
        """The repository that had this id before, or has it with other capitals."""
        lower = name.lower()
        renamed = {(k, old.lower()): new for (k, old), new in self.renames.items()}
        wanted = renamed.get((kind, lower), name).lower()
        return next((r for (k, i), r in self.repositories.items() if k == kind and i.lower() == wanted), None)

    def require_content(self, repository: Repository, exchange: Exchange, is_api: bool) -> None:
        """Raise Refused unless the caller may read the files, not only know of them."""
        user = self.user(exchange, is_api)
        if repository.admits(user):
            return
        restricted = f"Access to {repository.kind} {repository.id} is restricted"
        if not user:
            more = "You must have access to it and be authenticated to access it. Please log in."
            raise error(401, f"{restricted}. {more}", "GatedRepo", is_api)
        more = f"and you are not in the authorized list. Visit {self.url}/{repository.web} to ask for access."
        raise error(403, f"{restricted} {more}", "GatedRepo", is_api)

    def commit(self, repository: Repository, revision: str, is_api: bool) -> Commit:
        found = repository.find(unquote(revision))
        if found is None:
            raise error(404, f"Invalid rev id: {unquote(revision)}", "RevisionNotFound", is_api)
        return found

    # Serving.

    def failing(self, host: str, every: int) -> bool:
        """Whether the answer due now is one of every n-th that fail."""
        self._answered[host] += 1
        return bool(every) and self._answered[host] % every == 0

    async def _answer(self, exchange: Exchange, wire: Wire) -> None:
        path = exchange.path
        is_file = "/resolve/" in path or "/resolve-cache/" in path
        kind = "resolvers" if is_file else "api" if path.startswith("/api/") else "pages"
        self._asked[kind] += 1
        await asyncio.sleep(self.faults.hub_delay)
        try:
            if self.failing("hub", self.faults.hub_error_every):
                raise error(self.faults.error_status, "Internal Error - We're working hard to fix this")
            # What clients ask on the side would use up the 429 meant for what they are about.
            is_aside = path.startswith(("/api/agent-harnesses", "/api/telemetry"))
            if not is_aside and self.faults.takes_limit(kind):
                text = "We had to rate limit you, you hit the quota of requests in five minutes."
                raise error(429, text, "", not is_file)
            reply = await self._route(exchange, path)
        except Refused as refused:
            reply = refused.reply
        reply.fields += self._limits(kind, reply.status == 429)
        await send(reply, exchange, wire, self.server.statuses)

    async def _route(self, exchange: Exchange, path: str) -> Any:
        if path.startswith("/api/resolve-cache/"):
            return self._files.resolve_cache(exchange, path)
        if path.startswith("/api/"):
            return self._api.answer(exchange, path)
        parts = path.strip("/").split("/")
        kind = {web.rstrip("/"): kind for kind, web in PREFIXES.items() if web}.get(parts[0], "model")
        if kind != "model":
            del parts[0]
        for place in (1, 2):
            verb = parts[place] if len(parts) > place else ""
            name, rest = "/".join(parts[:place]), parts[place + 1 :]
            if verb in ("resolve", "raw"):
                return self._files.answer(exchange, verb, kind, name, rest)
            if verb in ("info", "git-upload-pack", "git-receive-pack"):
                return await self._git.answer(exchange, kind, name, "/".join([verb, *rest]))
        raise error(404, "Sorry, we can't find the page you are looking for.", is_api=False)

    def _limits(self, kind: str, is_limited: bool) -> Fields:
        left = 0 if is_limited else max(1, QUOTAS[kind] - self._asked[kind] % QUOTAS[kind])
        wait = (
            self.faults.limited_seconds if is_limited else WINDOW_SECONDS - int(self.now()) % WINDOW_SECONDS
        )
        return [
            ("RateLimit", f'"{kind}";r={left};t={wait}'),
            ("RateLimit-Policy", f'"fixed window";"{kind}";q={QUOTAS[kind]};w={WINDOW_SECONDS}'),
        ]
