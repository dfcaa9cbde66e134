"""The files of one page, as they pass by: resolved, judged by the operator's policy, noted as facts, and
given the links that the view wants."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from edgeproxy.sites import python_html, python_names
from edgeproxy.sites.python_facts import FileFacts, PageFacts, file_key
from edgeproxy.sites.python_html import Anchor
from edgeproxy.sites.python_links import Link, LinkRules, Resolver
from edgeproxy.sites.python_negotiation import PageType
from edgeproxy.sites.site import Unacceptable
from edgeproxy.upstream.upstream import Origin

LINKS_MAX = 200_000
DEPTH_MAX = 20

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SERIAL_COMMENT = re.compile(r"<!--SERIAL ([0-9]{1,18})-->")
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


class PageFiles:
    """One derivation at work. `base` is the URL of the page, `kind` the form that is wanted; with
    `keeps_links` links stay upstream's. `has_changed` tells that a file or a mark has been taken out."""

    def __init__(
        self,
        project: str,
        kind: PageType,
        policy: PagePolicy,
        base: str,
        *,
        without_sidecar: frozenset[bytes],
        keeps_links: bool,
        source: str,
    ) -> None:
        self._project = project
        self._kind = kind
        self._policy = policy
        self._base = base
        self._without_sidecar = without_sidecar
        self._keeps_links = keeps_links
        self._source = source
        self._links = Resolver(base, policy.links)
        self._files: dict[bytes, FileFacts] = {}
        self._aliases: set[str] = set()
        self._hosts: set[Origin] = set()
        self._stored: frozenset[str] = frozenset()
        self.serial: int | None = None  # that in the body
        self.has_changed = False

    def facts(self) -> PageFacts:
        return PageFacts(
            self._project,
            self._files,
            frozenset(sorted(self._aliases)[:100]),
            frozenset(self._hosts),
            self.serial,
            self._source,
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
        if not isinstance(name, str) or python_names.normalise(name) != self._project:
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
        self.has_changed = self.has_changed or len(document["files"]) < len(resolved)
        if self._kind is PageType.JSON:
            return data if self._keeps_links and not self.has_changed else orjson.dumps(document)
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
        if key in self._without_sidecar:
            for name in _MARKS:
                self.has_changed = file.pop(name, None) is not None or self.has_changed
        file["url"] = self._links.absolute(file["url"]) if self._keeps_links else link.relative
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
        if self._kind is not PageType.JSON and not self._policy.stored_only:
            return python_html.rewrite(text, self._change).encode("utf-8", "surrogateescape")
        found = [(anchor, self._resolve_anchor(anchor)) for anchor in python_html.anchors(text)]
        _check_count(len(found))
        self._look_up(link for _, link in found)
        if self._kind is not PageType.JSON:
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
        document = python_html.to_document(self._project, text, files)
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
        wanted = self._wanted(anchor, link)
        if wanted is None or (anchor.sidecar is not None and not wanted[1]):
            self.has_changed = True
        return wanted

    def _wanted(self, anchor: Anchor, link: Link | None) -> tuple[str, bool] | None:
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
        href = self._links.absolute(anchor.href) if self._keeps_links else link.relative + link.fragment
        return href, key not in self._without_sidecar

    # -- both ----------------------------------------------------------------------------------

    def _note(self, link: Link, facts: FileFacts) -> bytes:
        key = file_key(link.origin, link.canonical)
        self._files[key] = facts
        self._hosts.add(link.origin)
        guess = python_names.project_of_file(python_names.file_name(link.canonical))
        if guess is not None and guess != self._project:
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


def _serial_of(meta: object) -> int | None:
    value = meta.get("_last-serial") if isinstance(meta, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


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
