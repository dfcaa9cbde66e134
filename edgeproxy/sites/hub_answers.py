"""Answers in a hub's own words: fields of files, redirects, refusals, errors.

Clients decide by X-Error-Code, X-Error-Message and X-Repo-Commit, hardly ever by the content; and
what they are told once about a file at a commit they believe for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import orjson

from edgeproxy.message import EMPTY, BytesBody, Headers, HeadOnly, Pair, Response
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.hub_facts import Refusal
from edgeproxy.sites.hub_tree import Entry
from edgeproxy.sites.site import Presentation, Relay, Steady

BARE_MESSAGE = "Invalid username or password."
BAD_TOKEN = "Invalid credentials in Authorization header"
XET_FIELDS = ("X-Xet-Hash", "X-Xet-Refresh-Route", "X-Xet-Cas-Url")

_LINK = re.compile(r"<([^<>]*)>((?:[^,\"<]|\"[^\"]*\")*)")
_XET_LINK = re.compile(r'rel="?xet-', re.ASCII)
_UNSAFE = re.compile(r"[^ -~]|[\"\\]")


def json(data: bytes, fields: Iterable[Pair] = (), status: int = 200) -> Response:
    return Response(
        status, Headers((("Content-Type", "application/json; charset=utf-8"), *fields)), BytesBody(data)
    )


def error(
    status: int, code: str, message: str, fields: Iterable[Pair] = (), *, is_api: bool, head: bool
) -> Response:
    """An error as the hub would word it: JSON in the API, a line of text elsewhere."""
    data = orjson.dumps({"error": message}) if is_api else message.encode()
    kind = "application/json" if is_api else "text/plain"
    pairs = [("Content-Type", f"{kind}; charset=utf-8"), ("Cache-Control", "no-store")]
    if code:
        pairs.append(("X-Error-Code", code))
    if message:
        pairs.append(("X-Error-Message", one_line(message)))
    pairs += fields
    return Response(status, Headers(pairs), HeadOnly(len(data)) if head else BytesBody(data))


def refused(said: Refusal, *, is_api: bool, head: bool) -> Response:
    """The hub's refusal. A bare 401 says by its URL alone that there is no such repository, and only over
    https: clients that came by http are told by the code."""
    fields = [pair for pair in said.fields if pair[0] not in ("X-Error-Code", "X-Error-Message")]
    code = said.code
    if said.status == 401 and not code and not said.message.startswith(BAD_TOKEN):
        code = "RepoNotFound"
    message = said.message or {401: BARE_MESSAGE, 404: "Repository not found"}.get(said.status, "Forbidden")
    return error(said.status, code, message, fields, is_api=is_api, head=head)


def one_line(text: str) -> str:
    """Text that a field can carry, at most 300 characters of it."""
    return "".join(char if " " <= char < "\x7f" else "?" for char in text[:300])


# -- files -------------------------------------------------------------------------------------


def file_fields(entry: Entry, commit: str, *, etag: str = "", size: int | None = None) -> Headers:
    """The fields of a file of a commit. `etag` and `size` are given for the text git keeps in its place."""
    tag = f'"{etag or entry.etag}"'
    length = entry.size if size is None else size
    pairs = [
        ("Content-Type", "application/octet-stream"),
        ("ETag", tag),
        ("X-Repo-Commit", commit),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", disposition(entry.path)),
        ("Cache-Control", "no-cache"),
    ]
    if length >= 0:
        pairs += [("X-Linked-Size", str(length))]
    return Headers((*pairs, ("X-Linked-Etag", tag)))


def disposition(path: str, kind: str = "inline") -> str:
    name = path.rpartition("/")[2]
    return f"{kind}; filename*=UTF-8''{quote(name, safe='')}; filename=\"{_UNSAFE.sub('_', name)}\";"


def file_head(request_headers: Headers, fields: Headers, size: int | None) -> Response:
    """The answer to HEAD, or 304 if the client has the file already."""
    known = request_headers.get("If-None-Match")
    if known and _has_tag(known, fields.get("ETag")):
        kept = fields.without(("Content-Type", "Content-Disposition", "X-Linked-Size", "Accept-Ranges"))
        return Response(304, kept, EMPTY)
    return Response(200, fields, HeadOnly(size))


def _has_tag(field: str, etag: str) -> bool:
    tags = [tag.strip(" \t").removeprefix("W/") for tag in field.split(",")]
    return "*" in tags or etag in tags


def no_entry(commit: str, *, is_api: bool, head: bool) -> Response:
    fields = [("X-Repo-Commit", commit)] if commit else []
    return error(404, "EntryNotFound", "Entry not found", fields, is_api=is_api, head=head)


def redirect(location: str, query: str, commit: str = "") -> Response:
    """307, which keeps method and content; without a host, because old clients follow no other."""
    fields = [("Location", f"{location}?{query}" if query else location), ("Cache-Control", "no-cache")]
    if commit:
        fields.append(("X-Repo-Commit", commit))
    return Response(307, Headers(fields))


_TRACES = ("RateLimit", "RateLimit-Policy", "Link", "Vary", "Expires", "Age", *XET_FIELDS)


@dataclass(frozen=True, slots=True)
class FilePresentation:
    """A file has the same fields wherever its bytes came from, and no age: a commit's files are for ever,
    and who may read them is asked each time. `is_download`: a browser is to save it, not to show it."""

    known: Headers
    path: str
    is_download: bool = False

    def __call__(self, headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers:
        if stored.status not in (200, 206):
            return headers.without(_TRACES)
        changes = dict(self.known.pairs)
        if self.is_download:
            changes["Content-Disposition"] = disposition(self.path, "attachment")
        return headers.without(_TRACES).replacing(changes)


# -- what upstream says, on its way to a client -------------------------------------------------


class Rewriting:
    """Rewrites what leads to the hub, so that it leads here. `hub` is the URL of the endpoint without a
    slash at the end, `base` that of this site as the client wrote it, `place` its path."""

    def __init__(self, hub: str, base: str, place: str, *, strips_xet: bool) -> None:
        self._hub = hub
        self._hub_path = urlsplit(hub).path
        self._base = base
        self._place = place
        self._strips_xet = strips_xet

    @property
    def base(self) -> str:
        return self._base

    @property
    def is_hubs_own(self) -> bool:
        """Whether the client asks under the hub's own name, so that nothing leads elsewhere."""
        return self._base == self._hub

    def here(self, target: str) -> str:
        """A target of this site without a host, as old clients need it in Location."""
        return self._place + target

    def url(self, url: str) -> str:
        """An absolute URL, as in Link."""
        if url == self._hub or url.startswith((f"{self._hub}/", f"{self._hub}?")):
            return self._base + url[len(self._hub) :]
        if url.startswith("/") and not url.startswith("//"):
            return self._base + url.removeprefix(self._hub_path)
        return url

    def location(self, url: str) -> str:
        """The same for Location."""
        here = self.url(url)
        return self._place + here[len(self._base) :] if here.startswith(f"{self._base}/") else here

    def link(self, value: str) -> str:
        parts = []
        for matched in _LINK.finditer(value):
            if self._strips_xet and _XET_LINK.search(matched[2]):
                continue
            parts.append(f"<{self.url(matched[1])}>{matched[2].rstrip(' ')}")
        return ", ".join(parts)

    def fields(self, headers: Headers) -> Headers:
        changes: dict[str, str | None] = {}
        if "Location" in headers:
            changes["Location"] = self.location(headers.get("Location"))
        if "Link" in headers:
            changes["Link"] = self.link(headers.get("Link")) or None
        if self._strips_xet:
            changes.update(dict.fromkeys(XET_FIELDS))
        return headers.replacing(changes) if changes else headers


def relay(rewriting: Rewriting, *, on_repo: bool) -> Relay:
    """For answers that are passed. On a repository's routes a bare 401 gets the code that says what it
    means; an error without a message gets one."""

    def final(status: int, headers: Headers, url: str) -> Headers:
        headers = rewriting.fields(headers)
        if status < 400:
            return headers
        changes: Mapping[str, str] = {}
        message = headers.get("X-Error-Message")
        if on_repo and status == 401 and "X-Error-Code" not in headers and not message.startswith(BAD_TOKEN):
            changes = {"X-Error-Code": "RepoNotFound"}
        if not message:
            said = headers.get("X-Edge-Error") or f"the hub answered {status}"
            changes = {**changes, "X-Error-Message": one_line(said)}
        return headers.replacing(changes)

    return final


def presentation(rewriting: Rewriting) -> Presentation:
    """For answers that come from the store: no limits of others, no links past this node. Clients ask again
    each time; who asks under the hub's name is told what the hub said, and how long ago."""

    def present(headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers:
        if rewriting.is_hubs_own:
            return rewriting.fields(headers.without(("RateLimit", "RateLimit-Policy")))
        kept = headers.without(("RateLimit", "RateLimit-Policy", "Vary"))
        return rewriting.fields(kept.replacing({"Cache-Control": "no-cache"}))

    return Steady(present)
