"""The JSON interfaces of a stand-in hub: info, trees, paths, refs, commits, searches, who am I."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode

from stands.hub_answers import Fields, Reply, error, json_reply
from stands.hub_info import EXPANDABLE, describe, safetensors_header
from stands.hub_repository import Commit, File, Folder, Repository
from stands.wire import Exchange

if TYPE_CHECKING:
    from stands.hub import Hub

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
VERBS = frozenset({
    "revision", "tree", "paths-info", "refs", "commits", "auth-check", "xet-read-token", "xet-write-token",
    "safetensors-metadata", "preupload", "commit", "branch", "tag", "discussions",
})  # fmt: skip
MASK = "*" * 64
Query = dict[str, str]


def _true(query: Query, name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")


class Api:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def answer(self, exchange: Exchange, path: str) -> Reply:
        parts = path.split("/")[2:]
        pairs = parse_qsl(exchange.target.partition("?")[2], keep_blank_values=True)
        if parts[0] in KINDS and len(parts) > 1 and parts[1]:
            return self._repository(exchange, KINDS[parts[0]], parts[1:], pairs)
        user = self._hub.user(exchange, True)
        if parts[0] in KINDS:
            return self._search(KINDS[parts[0]], dict(pairs), user)
        if parts[0] == "whoami-v2":
            return self._who(user)
        if parts[0] == "agent-harnesses":
            return json_reply({"standardEnvVars": [], "harnesses": {}})
        if parts[0] == "telemetry":
            return json_reply({})
        if parts[0] in ("organizations", "users") and len(parts) > 1:
            return json_reply({"name": parts[1], "fullname": parts[1], "isHf": False, "numModels": 1})
        raise error(404, "Sorry, we can't find the page you are looking for.")

    def _repository(
        self, exchange: Exchange, kind: str, parts: list[str], pairs: list[tuple[str, str]]
    ) -> Reply:
        place = 1 if len(parts) == 1 or parts[1] in VERBS else 2
        name, verb, rest = "/".join(parts[:place]), "".join(parts[place : place + 1]), parts[place + 1 :]
        hub, query = self._hub, dict(pairs)
        repository = hub.find(kind, name, exchange, True)
        revision = unquote(rest[0]) if rest else "main"
        if verb in ("commits", "auth-check", "xet-read-token"):
            hub.require_content(repository, exchange, True)
        if verb in ("", "revision"):
            return self._info(repository, hub.commit(repository, revision, True), pairs)
        if verb == "tree":
            return self._tree(exchange, repository, revision, unquote("/".join(rest[1:])), query)
        if verb == "paths-info":
            return self._paths(exchange, repository, hub.commit(repository, revision, True))
        if verb == "refs":
            return json_reply(
                _refs(repository, _true(query, "include_prs") or _true(query, "include_pull_requests"))
            )
        if verb == "commits":
            return self._commits(repository, revision, query)
        if verb == "auth-check":
            return json_reply({"ok": True})
        if verb == "xet-read-token":
            return hub.cas.token(repository, hub.commit(repository, revision, True), hub.user(exchange, True))
        if verb == "safetensors-metadata":
            return _safetensors(repository.head, unquote("/".join(rest)))
        if verb in VERBS:
            raise error(403, "You don't have the rights required to write to this repository.")
        raise error(404, "Sorry, we can't find the page you are looking for.")

    def _info(self, repository: Repository, commit: Commit, pairs: list[tuple[str, str]]) -> Reply:
        query = dict(pairs)
        expand = [value for name, value in pairs if name in ("expand", "expand[]")]
        if unknown := [name for name in expand if name not in EXPANDABLE]:
            raise error(400, f'"expand" must be one of [{", ".join(EXPANDABLE)}], not {unknown[0]}')
        document = describe(repository, commit, _true(query, "blobs"), expand)
        if _true(query, "securityStatus"):
            document["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
        return json_reply(document)

    # Trees.

    def _entry(
        self, entry: File | Folder, commit: Commit, expand: bool, is_masked: bool, is_xet: bool
    ) -> dict[str, Any]:
        if isinstance(entry, Folder):
            shown: dict[str, Any] = {"type": "directory", "oid": entry.oid, "size": 0, "path": entry.path}
        else:
            shown = {"type": "file", "oid": entry.oid, "size": entry.size, "path": entry.path}
            if entry.large:
                sizes = {"size": entry.size, "pointerSize": len(entry.git_data)}
                shown["lfs"] = {"oid": entry.content.sha256, **sizes}
                if is_xet:
                    shown["xetHash"] = MASK if is_masked else entry.xet
        if expand:
            last = commit.last_change(entry.path)
            shown["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
            if isinstance(entry, File):
                scan = {"status": "safe", "avScan": {"status": "safe"}, "pickleImportScan": None}
                shown["securityFileStatus"] = scan
        return shown | self._hub.faults.tree_lies.get(entry.path, {})

    def _shown(
        self, exchange: Exchange, repository: Repository, commit: Commit, entries: list[Any], expand: bool
    ) -> list[dict[str, Any]]:
        masked = bool(repository.gated) and not repository.admits(self._hub.user(exchange, True))
        return [self._entry(entry, commit, expand, masked, self._hub.xet) for entry in entries]

    def _tree(
        self, exchange: Exchange, repository: Repository, revision: str, folder: str, query: Query
    ) -> Reply:
        commit = self._hub.commit(repository, revision, True)
        folder = folder.strip("/")
        if folder not in commit.folders:
            pinned = [("X-Repo-Commit", commit.sha)]
            raise error(404, f'{folder} does not exist on "{revision}"', "EntryNotFound", True, pinned)
        expand, recursive = _true(query, "expand"), _true(query, "recursive")
        most = min(50, self._hub.page_size) if expand else self._hub.page_size
        limit = max(1, min(most, _number(query.get("limit", ""), most)))
        entries = commit.entries(folder, recursive)
        if cursor := query.get("cursor"):
            last = _cursor_path(cursor)
            place = next((n for n, e in enumerate(entries) if e.path == last), None)
            if place is None:
                raise error(400, "Invalid cursor")
            entries = entries[place + 1 :]
        fields: Fields = []
        if len(entries) > limit:
            entries = entries[:limit]
            inner = base64.b64encode(json.dumps({"file_name": entries[-1].path}).encode()).decode()
            again = {"expand": str(expand).lower(), "recursive": str(recursive).lower(), "limit": str(limit)}
            again["cursor"] = base64.b64encode(f"{inner}:{limit}".encode()).decode()
            fields = [self._next(exchange, again)]
        return json_reply(self._shown(exchange, repository, commit, entries, expand), fields=fields)

    def _next(self, exchange: Exchange, query: Query) -> tuple[str, str]:
        return "Link", f'<{self._hub.url}{exchange.path}?{urlencode(query)}>; rel="next"'

    def _paths(self, exchange: Exchange, repository: Repository, commit: Commit) -> Reply:
        if exchange.method != "POST":
            raise error(404, "Sorry, we can't find the page you are looking for.")
        paths, expand = _asked_paths(exchange)
        found = [commit.files.get(path) or commit.folders.get(path) for path in paths if path]
        entries = [entry for entry in found if entry]
        return json_reply(self._shown(exchange, repository, commit, entries, expand))

    # The others.

    def _commits(self, repository: Repository, revision: str, query: Query) -> Reply:
        lineage = self._hub.commit(repository, revision, True).lineage()
        page, limit = _number(query.get("p", ""), 0), max(1, min(1000, _number(query.get("limit", ""), 50)))
        fields: Fields = [("X-Total-Count", str(len(lineage)))]
        if len(lineage) > (page + 1) * limit:
            path = f"{repository.api}/commits/{revision.replace('/', '%2F')}"
            fields.append(("Link", f'<{self._hub.url}{path}?p={page + 1}&limit={limit}>; rel="next"'))
        listed = [
            {
                "id": commit.sha,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author, "avatar": "/avatars/1.svg"}],
                "date": commit.date,
            }
            for commit in lineage[page * limit : (page + 1) * limit]
        ]
        return json_reply(listed, fields=fields)

    def _search(self, kind: str, query: Query, user: str) -> Reply:
        text, author = query.get("search", "").lower(), query.get("author", "").lower()
        found = [
            repository
            for (k, name), repository in sorted(self._hub.repositories.items())
            if k == kind and text in name.lower() and author in ("", repository.author.lower())
            if not repository.private or repository.knows(user)
        ]
        start = _number(query.get("cursor", ""), 0)
        limit = max(1, min(1000, _number(query.get("limit", ""), 1000)))
        fields: Fields = []
        if len(found) > start + limit:
            again = {**query, "limit": str(limit), "cursor": str(start + limit)}
            fields.append(("Link", f'<{self._hub.url}/api/{kind}s?{urlencode(again)}>; rel="next"'))
        listed = [describe(r, r.head, False, []) for r in found[start : start + limit]]
        if not _true(query, "full"):
            listed = [{k: v for k, v in d.items() if k not in ("siblings", "config")} for d in listed]
        return json_reply(listed, fields=fields)

    def _who(self, user: str) -> Reply:
        if not user:
            raise error(401, "Invalid username or password.")
        token = {"displayName": "stand-in", "role": "read", "createdAt": "2024-01-02T03:04:05.000Z"}
        document = {
            "type": "user", "id": "5" * 24, "name": user, "fullname": user, "email": f"{user}@example.org",
            "emailVerified": True, "canPay": False, "isPro": False, "orgs": [], "periodEnd": None,
            "auth": {"type": "access_token", "accessToken": token},
        }  # fmt: skip
        return json_reply(document)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else otherwise


def _cursor_path(cursor: str) -> str:
    try:
        inner = base64.b64decode(cursor).decode().rpartition(":")[0]
        return str(json.loads(base64.b64decode(inner))["file_name"])
    except (binascii.Error, UnicodeDecodeError, ValueError, KeyError, TypeError):
        raise error(400, "Invalid cursor") from None


def _asked_paths(exchange: Exchange) -> tuple[list[str], bool]:
    if "json" in exchange.get("content-type"):
        document = json.loads(exchange.body)
        return list(document["paths"]), document.get("expand") is True
    pairs = parse_qsl(exchange.body.decode())
    return [v for n, v in pairs if n == "paths"], dict(pairs).get("expand", "").lower() == "true"


def _refs(repository: Repository, with_pulls: bool) -> dict[str, Any]:
    def under(start: str) -> list[dict[str, str]]:
        return [
            {"name": ref.removeprefix(start), "ref": ref, "targetCommit": commit.sha}
            for ref, commit in sorted(repository.refs.items())
            if ref.startswith(start)
        ]

    document: dict[str, Any] = {
        "tags": under("refs/tags/"), "branches": under("refs/heads/"), "converts": under("refs/convert/")
    }  # fmt: skip
    if with_pulls:
        document["pullRequests"] = under("refs/pr/")
    return document


def _safetensors(commit: Commit, name: str) -> Reply:
    index: Any = None
    names = [name]
    if name.endswith(".index.json") and name in commit.files:
        document = json.loads(commit.files[name].git_data)
        index, names = {"metadata": document["metadata"]}, sorted(set(document["weight_map"].values()))
    headers = {n: safetensors_header(commit.files[n]) for n in names if n in commit.files}
    if not headers or None in headers.values():
        raise error(404, "Entry not found", "EntryNotFound", True, [("X-Repo-Commit", commit.sha)])
    return json_reply({"index": index, "headers": headers})
