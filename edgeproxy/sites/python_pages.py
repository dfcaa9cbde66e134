"""Views of a project page: links made ours, the form the client wants, and what the page teaches.

A view keeps every byte of meaning that came; unknown keys and attributes pass through."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from gzip import compress
from typing import Any

import orjson

from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites import python_html, python_names
from edgeproxy.sites.python_facts import FileFacts, PageFacts, file_key
from edgeproxy.sites.python_html import Anchor
from edgeproxy.sites.python_links import Link, LinkRules, Resolver
from edgeproxy.sites.python_negotiation import PageType
from edgeproxy.sites.site import Derived, Unacceptable
from edgeproxy.upstream.upstream import Origin

VERSION = 1  # of the rewriting: a new one makes every stored view a thing of the past
PAGE_BYTES_MAX = 64 << 20
RATIO_MAX = 100
LINKS_MAX = 200_000
DEPTH_MAX = 20
GUARD_SECONDS = 86400.0  # after this, an older page is a decision of the index, not an old backend

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SERIAL = re.compile(r"[0-9]{1,18}")
_SERIAL_COMMENT = re.compile(r"<!--SERIAL ([0-9]{1,18})-->")
_SERIAL_FIELD = "X-PyPI-Last-Serial"
_MARKS = ("core-metadata", "dist-info-metadata", "data-dist-info-metadata")


@dataclass(frozen=True, slots=True)
class PagePolicy:
    """What the operator wants done to every page. `uploaded_before` in wall-clock seconds."""

    links: LinkRules
    drop_foreign: bool = False
    serial_guard: bool = True
    uploaded_before: float | None = None
    stored_only: Callable[[Sequence[str]], frozenset[str]] | None = None
    require_hash: bool = False

    @property
    def id(self) -> str:
        hosts = sorted(origin.url for origin in self.links.configured)
        text = f"{self.links.index.url} {hosts} {self.links.private} {self.links.learn} {self.drop_foreign}"
        text += " hashed" if self.require_hash else ""
        return hashlib.sha256(f"{text} {self.uploaded_before}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class PageView:
    """A project page in one form and coding. `without_sidecar` are files whose marks are removed;
    `serial_seen` is the serial of the page seen last, `source` the URL of the index (they change no byte)."""

    project: str
    kind: PageType
    gzip: bool
    policy: PagePolicy
    without_sidecar: frozenset[bytes] = frozenset()
    serial_seen: int | None = None
    source: str = ""

    @property
    def id(self) -> str:
        unmarked = hashlib.sha256(b"".join(sorted(self.without_sidecar))).hexdigest()[:12]
        coding = "gzip" if self.gzip else "identity"
        marks = f"/{unmarked}" if self.without_sidecar else ""
        return f"page/{VERSION}/{self.kind.name.lower()}/{coding}/{self.policy.id}{marks}"

    @property
    def volatile(self) -> bool:
        return self.policy.stored_only is not None

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        data = decoded(body, stored.headers.get("Content-Encoding"), PAGE_BYTES_MAX)
        source = source_type(stored.headers.get("Content-Type"))
        base = (stored.url or stored.key).partition(" ")[0]
        page = _Page(self, base)
        text = page.from_json(data) if source is PageType.JSON else page.from_html(data)
        header = _serial(stored.headers.get(_SERIAL_FIELD))
        page.serial = page.serial if header is None else header
        if self.policy.serial_guard and previous is not None:
            check_serial(stored, previous, page.serial, self.serial_seen)
        fields = [("Content-Type", self.kind.value)]
        if self.gzip:
            text = compress(text, 6 if len(text) < 4 << 20 else 1, mtime=0)
            fields.append(("Content-Encoding", "gzip"))
        fields.append(("ETag", f'"{hashlib.sha256(text).hexdigest()[:32]}"'))
        serial = stored.headers.get(_SERIAL_FIELD)
        if serial:
            fields.append((_SERIAL_FIELD, serial))
        return Derived(Headers(fields), text, page.facts())


def decoded(body: bytes, coding: str, bytes_max: int) -> bytes:
    """The content without its coding; Unacceptable when it is empty, broken, or grows too much."""
    coding = coding.lower()
    if coding in ("gzip", "x-gzip"):
        limit = min(bytes_max, max(len(body) * RATIO_MAX, 1 << 20))
        inflate = zlib.decompressobj(31)
        try:
            data = inflate.decompress(body, limit + 1)
        except zlib.error as error:
            raise Unacceptable("the page's gzip coding is broken") from error
        if len(data) > limit:
            raise Unacceptable("the page grows too much when it is decoded")
        if not inflate.eof:
            raise Unacceptable("the page's gzip coding ends too early")
        body = data
    elif coding not in ("", "identity"):
        raise Unacceptable("the page has a content coding nobody asked for")
    if not body:
        raise Unacceptable("the page is empty")
    if len(body) > bytes_max:
        raise Unacceptable("the page is too large")
    return body


def source_type(content_type: str) -> PageType:
    essence = content_type.partition(";")[0].strip(" \t").lower()
    for kind in PageType:
        if essence == kind.value:
            return kind
    raise Unacceptable("the page's Content-Type is not that of an index page")


def check_serial(
    stored: StoredResponse, previous: StoredResponse, serial: int | None, seen: int | None
) -> None:
    """Raises Unacceptable for the answer of an old backend: a `serial` below the one we have, or none.
    Ours is in the field of `previous`, or was `seen` in the body of an index that sends no such field."""
    if stored.response_time - previous.response_time > GUARD_SECONDS:
        return
    field = _serial(previous.headers.get(_SERIAL_FIELD))
    before = seen if field is None else field
    if before is not None and (serial is None or serial < before):
        raise Unacceptable("the page is older than the one stored (its serial is lower or missing)")


def check_depth(document: object) -> None:
    """Raises Unacceptable if containers are nested more than DEPTH_MAX deep."""
    level = [document]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise Unacceptable(f"the JSON is nested more than {DEPTH_MAX} deep")


def _serial(text: str) -> int | None:
    return int(text) if _SERIAL.fullmatch(text) else None


def _serial_of(meta: object) -> int | None:
    value = meta.get("_last-serial") if isinstance(meta, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class _Page:
    """One derivation at work: resolves, filters and notes facts while links pass by."""

    def __init__(self, view: PageView, base: str) -> None:
        self._view = view
        self._policy = view.policy
        self._base = base
        self._links = Resolver(base, view.policy.links)
        self._files: dict[bytes, FileFacts] = {}
        self._aliases: set[str] = set()
        self._hosts: set[Origin] = set()
        self._stored: frozenset[str] = frozenset()
        self.serial: int | None = None  # that in the body

    def facts(self) -> PageFacts:
        return PageFacts(
            self._view.project,
            self._files,
            frozenset(sorted(self._aliases)[:100]),
            frozenset(self._hosts),
            self.serial,
            self._view.source,
        )

    # -- JSON ----------------------------------------------------------------------------------

    def from_json(self, data: bytes) -> bytes:
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise Unacceptable("the page is not JSON") from error
        if not isinstance(document, dict) or not isinstance(document.get("files"), list):
            raise Unacceptable("the page has no list of files")
        name = document.get("name")
        if not isinstance(name, str) or python_names.normalise(name) != self._view.project:
            raise Unacceptable("the page is that of another project")
        check_depth(document)
        self.serial = _serial_of(document.get("meta"))
        files = document["files"]
        _check_count(len(files))
        resolved = [(file, self._resolve_json(file)) for file in files]
        self._look_up(link for _, link in resolved)
        document["files"] = [
            kept for file, link in resolved if (kept := self._json_file(file, link)) is not None
        ]
        if self._view.kind is PageType.JSON:
            return orjson.dumps(document)
        return python_html.from_document(document, document["files"]).encode(errors="surrogatepass")

    def _resolve_json(self, file: Any) -> Link | None:
        if not isinstance(file, dict) or not isinstance(file.get("url"), str):
            raise Unacceptable("a file of the page has no url")
        if not isinstance(file.get("filename"), str):
            raise Unacceptable("a file of the page has no name")
        return self._links.resolve(file["url"], hashed=bool(_sha256_of(file.get("hashes"))))

    def _json_file(self, file: dict[str, Any], link: Link | None) -> dict[str, Any] | None:
        if link is None:
            unhashed = self._policy.require_hash and not _sha256_of(file.get("hashes"))
            if unhashed or self._drops_foreign or self._is_young(_seconds(file.get("upload-time"))):
                return None
            # Relative links would otherwise be taken as relative to us.
            file["url"] = self._links.absolute(file["url"])
            return file
        mark = python_html.sidecar_mark(file)
        size = file.get("size")
        uploaded = _seconds(file.get("upload-time"))
        key = self._note(
            link,
            FileFacts(
                bytes.fromhex(_sha256_of(file.get("hashes"))),
                size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
                None if mark is None else b"" if mark is True else bytes.fromhex(_sha256_of(mark)),
                link.path if link.path != link.canonical else None,
                uploaded,
            ),
        )
        if self._is_young(uploaded) or not self._is_there(link) or self._lacks_hash(key):
            return None
        if key in self._view.without_sidecar:
            for name in _MARKS:
                file.pop(name, None)
        file["url"] = link.relative
        return file

    # -- HTML ----------------------------------------------------------------------------------

    def from_html(self, data: bytes) -> bytes:
        text = data.decode("utf-8", "surrogateescape")
        if not python_html.is_page(text):
            raise Unacceptable("the page is not HTML")
        comment = _SERIAL_COMMENT.search(text)
        self.serial = int(comment[1]) if comment else None
        base = python_html.base_href(text)
        if base:
            try:
                self._links = Resolver(
                    Resolver(self._base, self._policy.links).absolute(base), self._policy.links
                )
            except ValueError as error:
                raise Unacceptable("the page's <base> is no URL") from error
        if self._view.kind is not PageType.JSON and not self._policy.stored_only:
            return python_html.rewrite(text, self._change).encode("utf-8", "surrogateescape")
        found = [(anchor, self._resolve_anchor(anchor)) for anchor in python_html.anchors(text)]
        _check_count(len(found))
        self._look_up(link for _, link in found)
        if self._view.kind is not PageType.JSON:
            return python_html.rewrite(text, self._change).encode("utf-8", "surrogateescape")
        files = []
        for anchor, link in found:
            wanted = self._change_resolved(anchor, link)
            if wanted is None:
                continue
            file = python_html.to_file(anchor, wanted[0].partition("#")[0])
            if link is not None:
                file["filename"] = python_names.file_name(link.path)
            if not wanted[1]:
                file.pop("core-metadata", None)
            files.append(file)
        document = python_html.to_document(self._view.project, text, files)
        try:
            return orjson.dumps(document)
        except (TypeError, ValueError) as error:
            raise Unacceptable("the page is not UTF-8") from error

    def _resolve_anchor(self, anchor: Anchor) -> Link | None:
        return self._links.resolve(anchor.href, hashed="sha256" in anchor.hashes)

    def _change(self, anchor: Anchor) -> tuple[str, bool] | None:
        _check_count(len(self._files))
        return self._change_resolved(anchor, self._resolve_anchor(anchor))

    def _change_resolved(self, anchor: Anchor, link: Link | None) -> tuple[str, bool] | None:
        if link is None:
            unhashed = self._policy.require_hash and "sha256" not in anchor.hashes
            if unhashed or self._drops_foreign or self._is_young(None):
                return None
            try:
                return self._links.absolute(anchor.href), True
            except ValueError:
                return anchor.href, True
        mark = anchor.sidecar
        digest = anchor.hashes.get("sha256", "")
        kind, _, value = (mark or "").partition("=")
        sidecar = value.lower() if kind == "sha256" and _SHA256.fullmatch(value.lower()) else ""
        key = self._note(
            link,
            FileFacts(
                bytes.fromhex(digest) if _SHA256.fullmatch(digest) else b"",
                None,
                None if mark is None else bytes.fromhex(sidecar),
                link.path if link.path != link.canonical else None,
            ),
        )
        if self._is_young(None) or not self._is_there(link) or self._lacks_hash(key):
            return None
        return link.relative + link.fragment, key not in self._view.without_sidecar

    # -- both ----------------------------------------------------------------------------------

    def _note(self, link: Link, facts: FileFacts) -> bytes:
        key = file_key(link.origin, link.canonical)
        self._files[key] = facts
        self._hosts.add(link.origin)
        guess = python_names.project_of_file(python_names.file_name(link.canonical))
        if guess is not None and guess != self._view.project:
            self._aliases.add(guess)
        return key

    @property
    def _drops_foreign(self) -> bool:
        return self._policy.drop_foreign or self._policy.stored_only is not None

    def _is_young(self, uploaded: float | None) -> bool:
        """Too young for the operator; a file that does not tell its age is."""
        before = self._policy.uploaded_before
        return before is not None and (uploaded is None or uploaded > before)

    def _lacks_hash(self, key: bytes) -> bool:
        return self._policy.require_hash and not self._files[key].sha256

    def _look_up(self, links: Any) -> None:
        if self._policy.stored_only is not None:
            keys = [f"{link.origin.url}{link.path}" for link in links if link is not None]
            self._stored = self._policy.stored_only(keys)

    def _is_there(self, link: Link) -> bool:
        return self._policy.stored_only is None or f"{link.origin.url}{link.path}" in self._stored


def _check_count(count: int) -> None:
    if count > LINKS_MAX:
        raise Unacceptable(f"the page has more than {LINKS_MAX} links")


def _sha256_of(hashes: object) -> str:
    value = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(value, str):
        return ""
    value = value.lower()
    return value if _SHA256.fullmatch(value) else ""


def _seconds(text: object) -> float | None:
    """Wall-clock seconds of an upload-time; None if it is not one."""
    if not isinstance(text, str) or not text.isascii() or len(text) > 40:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
