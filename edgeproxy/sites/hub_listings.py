"""Listings as clients ask for them: folders, pages, single paths, out of the listing of a commit."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

import orjson

from edgeproxy.message import Headers
from edgeproxy.sites import hub_names
from edgeproxy.sites.hub_tree import Entry, Listing

LIMIT_MAX = 1000
WHOLE_MAX = 10_000  # longer listings come in pages, as the hub's own do
PARTS_MAX = 64
PATHS_MAX = 10_000

Xet = Callable[[Entry], str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The query of a listing. `limit` is 0 if the client gave none."""

    recursive: bool = False
    expand: bool = False
    limit: int = 0
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A listing as JSON, with the query of what follows ("" if nothing does)."""

    data: bytes
    following: str = ""


def parameters(query: str) -> dict[str, str]:
    """The parameters of a query, the last of each name; those past the first 64 are ignored."""
    pairs = [part.partition("=") for part in query.split("&")[:PARTS_MAX] if part]
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def wanted(query: str) -> Wanted:
    given = parameters(query)
    limit = given.get("limit", "")
    plain = limit.isascii() and limit.isdigit() and len(limit) < 9
    return Wanted(
        recursive=is_true(given.get("recursive", "false")),
        expand=is_true(given.get("expand", "false")),
        limit=max(1, min(int(limit), LIMIT_MAX)) if plain else 0,
        cursor=given.get("cursor", ""),
    )


def is_true(text: str) -> bool:
    return text.lower() in ("true", "1", "")


def answer(listing: Listing, folder: str, asked: Wanted, xet: Xet) -> Answered | None:
    """What `asked` wants of `folder`; None if the commit has no such folder. A cursor that is none starts at
    the beginning of nothing: an empty page, which ends every loop."""
    entries = listing.under(folder, recursive=asked.recursive)
    if entries is None:
        return None
    if asked.cursor:
        entries = after_cursor(entries, asked.cursor)
    limit = asked.limit or (0 if len(entries) <= WHOLE_MAX else LIMIT_MAX)
    if not limit or len(entries) <= limit:
        return Answered(as_json(entries, xet))
    page = entries[:limit]
    recursive = "true" if asked.recursive else "false"
    after = quote(cursor(page[-1], limit), safe="")
    return Answered(as_json(page, xet), f"expand=false&recursive={recursive}&limit={limit}&cursor={after}")


def as_json(entries: Iterable[Entry], xet: Xet) -> bytes:
    return orjson.dumps([entry.as_json(xet(entry)) for entry in entries])


def cursor(entry: Entry, limit: int) -> str:
    """Where a listing goes on after `entry`, as clients know it from the hub."""
    name = b64encode(orjson.dumps({"file_name": entry.path}))
    return b64encode(name + b":" + str(limit).encode()).decode("ascii")


def after_cursor(entries: list[Entry], text: str) -> list[Entry]:
    """The entries that come after a cursor, also one that a client has built by itself."""
    try:
        outer = b64decode(text, validate=True)
        inner = orjson.loads(b64decode(outer.partition(b":")[0], validate=True))
    except (Base64Error, ValueError):
        return []
    name = inner.get("file_name") if isinstance(inner, dict) else None
    if not isinstance(name, str):
        return []
    for position, entry in enumerate(entries):
        if entry.path == name:
            return entries[position + 1 :]
    return [entry for entry in entries if entry.path > name]


# -- single paths ------------------------------------------------------------------------------


def wanted_paths(headers: Headers, content: bytes) -> tuple[list[str], bool] | None:
    """Paths and `expand` of a paths-info request, from its form or JSON; None if it is neither."""
    if "json" in headers.get("Content-Type").lower():
        found = _from_json(content)
    else:
        found = _from_form(content)
    if found is None or len(found[0]) > PATHS_MAX:
        return None
    return [path.strip("/") for path in found[0]], found[1]


def _from_form(content: bytes) -> tuple[list[str], bool] | None:
    paths: list[str] = []
    expand = False
    for part in content.split(b"&") if content else ():
        name, _, value = part.partition(b"=")
        if not value.isascii():
            return None
        text = value.decode("ascii").replace("+", " ")
        if name in (b"paths", b"paths%5B%5D", b"paths[]"):
            path = hub_names.decoded(text)
            if path is None:
                return None
            paths.append(path)
        elif name == b"expand":
            expand = is_true(text)
    return paths, expand


def _from_json(content: bytes) -> tuple[list[str], bool] | None:
    try:
        asked = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    paths = asked.get("paths") if isinstance(asked, dict) else None
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        return None
    return paths, asked.get("expand") is True


def of_paths(listing: Listing, paths: Iterable[str], xet: Xet) -> bytes:
    """The entries of these paths; those that are missing are left out."""
    found = (listing.find(path) for path in dict.fromkeys(paths))
    return as_json((entry for entry in found if entry is not None), xet)
