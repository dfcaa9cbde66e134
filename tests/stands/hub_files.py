"""Files of a stand-in hub: resolve, resolve-cache and raw."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from stands.hub_answers import TEXT_FIELDS, Fields, Reply, error, json_reply, see
from stands.hub_cdn import HTML, disposition, trouble_of
from stands.hub_content import Held
from stands.hub_repository import Commit, File, Repository
from stands.wire import Exchange

if TYPE_CHECKING:
    from stands.hub import Hub

XET_INFO = "application/vnd.xet-fileinfo+json"


def split_revision(parts: list[str]) -> tuple[str, list[str]]:
    """Revision and the rest; refs/pr/N and refs/convert/X may be written by hand, unescaped."""
    if len(parts) >= 3 and parts[0] == "refs" and parts[1] in ("pr", "convert"):
        return "/".join(parts[:3]), parts[3:]
    return (parts[0] if parts else ""), parts[1:]


class Files:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def answer(self, exchange: Exchange, verb: str, kind: str, name: str, rest: list[str]) -> Reply:
        repository = self._hub.find(kind, name, exchange, False)
        self._hub.require_content(repository, exchange, False)
        revision, parts = split_revision(rest)
        commit = self._hub.commit(repository, revision, False)
        file = self._file(commit, unquote("/".join(parts)))
        if status := self._hub.faults.resolve_status.get(file.path):
            raise error(status, "Internal Error - We're working hard to fix this", "", False)
        if verb == "raw":
            fields = [*TEXT_FIELDS, ("X-Repo-Commit", commit.sha)]
            return Reply(200, fields, Held(file.git_data), f'"{file.oid}"', ranges=True)
        if url := self._hub.faults.redirected.get(file.path):
            return see(url, 302, self._linked(commit, file))
        if file.large:
            return self._to_cdn(exchange, repository, commit, file)
        return self._to_cache(exchange, repository, commit, file)

    def _file(self, commit: Commit, path: str) -> File:
        if path in commit.files:
            return commit.files[path]
        raise error(404, "Entry not found", "EntryNotFound", False, [("X-Repo-Commit", commit.sha)])

    def _linked(self, commit: Commit, file: File) -> Fields:
        fields = [
            ("X-Repo-Commit", commit.sha),
            ("X-Linked-Etag", f'"{file.etag}"'),
            ("Accept-Ranges", "bytes"),
        ]
        return fields + ([("X-Linked-Size", str(file.size))] if file.large else [])

    def _to_cache(self, exchange: Exchange, repository: Repository, commit: Commit, file: File) -> Reply:
        asked = quote(unquote(exchange.path), safe="")
        path = f"/api/resolve-cache/{repository.kind}s/{repository.id}/{commit.sha}/{quote(file.path)}"
        location = f"{path}?{asked}=&etag=%22{file.oid}%22"
        fields = [*self._linked(commit, file), ("Content-Disposition", disposition(file.path))]
        return see(location, 307, fields)

    def _to_cdn(self, exchange: Exchange, repository: Repository, commit: Commit, file: File) -> Reply:
        fields = [*self._linked(commit, file), ("Cache-Control", "no-store")]
        if self._hub.xet:
            refresh = f"{self._hub.url}{repository.api}/xet-read-token/{commit.sha}"
            rebuild = f"{self._hub.cas.url}/v1/reconstructions/{file.xet}"
            if XET_INFO in exchange.get("accept"):
                info: dict[str, object] = {
                    "hash": file.xet,
                    "refreshUrl": refresh,
                    "reconstructionUrl": rebuild,
                }
                info |= {"etag": f'"{file.etag}"', "size": file.size}
                return json_reply(info, fields=self._linked(commit, file))
            link = f'<{refresh}>; rel="xet-auth", <{rebuild}>; rel="xet-reconstruction-info"'
            fields += [("X-Xet-Hash", file.xet), ("Link", link)]
        url = self._hub.cdn.sign(repository, file, self._hub.user(exchange, False))
        return see(url, 307 if "ollama" in exchange.get("user-agent").lower() else 302, fields)

    def resolve_cache(self, exchange: Exchange, path: str) -> Reply:
        """/api/resolve-cache/{type}s/{id}/{commit}/{path}: small files at a commit."""
        parts = path.split("/")[3:]
        kind = parts[0].removesuffix("s")
        place = next((n for n in (2, 3) if len(parts) > n and len(parts[n]) == 40), 3)
        name = "/".join(parts[1:place])
        repository = self._hub.find(kind, name, exchange, False)
        self._hub.require_content(repository, exchange, False)
        commit = self._hub.commit(repository, "".join(parts[place : place + 1]), False)
        file = self._file(commit, unquote("/".join(parts[place + 1 :])))
        faults = self._hub.faults
        if status := faults.status.get(file.path):
            raise error(status, "Internal Error - We're working hard to fix this", "", False)
        if file.path in faults.html:
            return Reply(200, [("Content-Type", "text/html; charset=utf-8")], Held(HTML))
        fields = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Repo-Commit", commit.sha),
            ("Content-Disposition", disposition(file.path)),
            ("Cache-Control", "public, max-age=604800, immutable"),
        ]
        trouble = trouble_of(faults, file.path, exchange)
        damaged = trouble.flip is not None or trouble.cut is not None
        etag = f'"{file.oid}"'
        return Reply(
            200, fields, file.content, etag, ranges=True, zips=not damaged and file.size > 0, trouble=trouble
        )
