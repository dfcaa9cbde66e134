"""The listing of a commit: what a hub's pages of it say, checked, in one piece.

A commit never changes, so with its listing in hand all HEADs and all "no such file" are answered here.
What a page claims is checked before it is believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from edgeproxy.sites import hub_names
from edgeproxy.sites.site import Unacceptable

FILE_BYTES_MAX = 1 << 50  # no file of a hub comes near a pebibyte
PAGE_ENTRIES_MAX = 20_000
QUERY_LENGTH_MAX = 4096

_SHA1 = re.compile(r"[0-9a-f]{40}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NEXT = re.compile(r'<([^<>\s"]{1,8192})>\s*;[^<]*\brel="?next"?', re.ASCII)
_QUERY = re.compile(r"[!-~]+", re.ASCII)


class Entry(NamedTuple):
    """One line of a listing. `oid` is git's hash of it (of the pointer, for a large file), `sha256` the
    content's where git keeps only a pointer; b"" where there is none. Sizes in bytes."""

    path: str
    is_folder: bool
    oid: bytes
    size: int
    sha256: bytes = b""
    pointer_size: int = 0
    xet: bytes = b""

    @property
    def etag(self) -> str:
        """The name clients give the content: its SHA-256, or git's hash of a small file."""
        return (self.sha256 or self.oid).hex()

    def as_json(self, xet: str = "") -> dict[str, Any]:
        """The entry in the hub's own form; with the Xet hash `xet` if there is one."""
        kind = "directory" if self.is_folder else "file"
        found: dict[str, Any] = {
            "type": kind,
            "oid": self.oid.hex(),
            "size": self.size,
            "path": self.path,
        }
        if self.sha256:
            found["lfs"] = {"oid": self.sha256.hex(), "size": self.size, "pointerSize": self.pointer_size}
        return {**found, "xetHash": xet} if xet else found


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing; `following` is the raw query of the next one, "" after the last."""

    entries: tuple[Entry, ...]
    following: str = ""


class Listing:
    """The entries of a commit as far as they have been seen; grows page by page on the event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._sizes: dict[str, int] | None = None
        self.pages = 0
        self.following: str | None = None  # None before the first page, "" when complete

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_complete(self) -> bool:
        return self.following == ""

    def add(self, page: Page) -> None:
        """Raises Unacceptable for a path that was listed before: pages that overlap cannot be merged."""
        for entry in page.entries:
            if entry.path in self._entries:
                raise Unacceptable(f"the hub lists {entry.path!r} twice")
            self._entries[entry.path] = entry
        self.pages += 1
        self.following = page.following

    def find(self, path: str) -> Entry | None:
        return self._entries.get(path)

    def under(self, folder: str, *, recursive: bool) -> list[Entry] | None:
        """What lies in `folder` ("" for the root), in the order of the listing; None if there is no such
        folder. Only a complete listing can tell."""
        if not folder:
            found: Iterable[Entry] = self._entries.values()
            start = 0
        else:
            start = len(folder) + 1
            found = [entry for path, entry in self._entries.items() if path.startswith(f"{folder}/")]
            itself = self._entries.get(folder)
            if not found and (itself is None or not itself.is_folder):
                return None
        if recursive:
            return list(found)
        return [entry for entry in found if "/" not in entry.path[start:]]

    @property
    def sizes(self) -> Mapping[str, int]:
        """Sizes of the files in bytes, by path; made once for a complete listing."""
        if self._sizes is None or not self.is_complete:
            self._sizes = {entry.path: entry.size for entry in self.files()}
        return self._sizes

    def files(self) -> Iterator[Entry]:
        return (entry for entry in self._entries.values() if not entry.is_folder)


# -- what upstream says ------------------------------------------------------------------------


def read_page(data: bytes, link: str) -> Page:
    """A page of a recursive listing from its content and its Link field. Raises Unacceptable."""
    try:
        items = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unacceptable("the hub's listing is no JSON") from error
    if not isinstance(items, list) or len(items) > PAGE_ENTRIES_MAX:
        raise Unacceptable("the hub's listing is no list, or endless")
    return Page(tuple(_entry(item) for item in items), following(link))


def following(link: str) -> str:
    """The query of the next page out of a Link field, "" if there is none. Only the query is taken: where
    the next page is asked for is not upstream's choice. Raises Unacceptable for one that cannot be sent."""
    matched = _NEXT.search(link)
    if matched is None:
        return ""
    query = matched[1].partition("#")[0].partition("?")[2]
    if not query or len(query) > QUERY_LENGTH_MAX or _QUERY.fullmatch(query) is None:
        raise Unacceptable("the hub's link to the next page cannot be followed")
    return query


def _entry(item: Any) -> Entry:
    if not isinstance(item, dict):
        raise Unacceptable("an entry of the hub's listing is no object")
    path, kind = item.get("path"), item.get("type")
    if not isinstance(path, str) or not hub_names.is_path(path):
        raise Unacceptable(f"the hub lists the path {path!r:.100}")
    git = _digest(item.get("oid"), _SHA1)
    if kind == "directory":
        return Entry(path, True, git, 0)
    if kind != "file" or not git:
        raise Unacceptable(f"the hub lists {path!r:.100} without a hash of git")
    size = _size(item.get("size"), path)
    lfs = item.get("lfs")
    if lfs is None:
        return Entry(path, False, git, size)
    sha256 = _digest(lfs.get("oid") if isinstance(lfs, dict) else None, _SHA256)
    if not sha256:
        raise Unacceptable(f"the hub lists {path!r:.100} without its SHA-256")
    if _size(lfs.get("size", size), path) != size:
        raise Unacceptable(f"the hub lists {path!r:.100} with two sizes")
    pointer_size = _size(lfs.get("pointerSize", 0), path)
    # Those without access to a gated repository are shown stars in place of the Xet hash.
    return Entry(path, False, git, size, sha256, pointer_size, _digest(item.get("xetHash"), _SHA256))


def _digest(value: Any, form: re.Pattern[str]) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) and form.fullmatch(value) else b""


def _size(value: Any, path: str) -> int:
    if type(value) is not int or not 0 <= value <= FILE_BYTES_MAX:
        raise Unacceptable(f"the hub lists {path!r:.100} with a size of {value!r:.40}")
    return value
