"""Views of a project page: links made ours, the form the client wants, and what the page teaches.

A view keeps every byte of meaning that came; unknown keys and attributes pass through."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from gzip import compress

from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_facts import PageFacts
from edgeproxy.sites.python_negotiation import PageType
from edgeproxy.sites.python_page_files import PageFiles, PagePolicy
from edgeproxy.sites.site import Derived, Unacceptable
from edgeproxy.upstream.upstream import Origin

VERSION = 2  # of the rewriting: a new one makes every stored view a thing of the past
PAGE_BYTES_MAX = 64 << 20
RATIO_MAX = 100
GUARD_SECONDS = 86400.0  # after this, an older page is a decision of the index, not an old backend

_SERIAL = re.compile(r"[0-9]{1,18}")
_SERIAL_FIELD = "X-PyPI-Last-Serial"
_OF_OTHER_BYTES = ("Content-Digest", "Content-MD5", "Digest", "Repr-Digest", "Accept-Ranges")


@dataclass(frozen=True, slots=True)
class PageView:
    """A project page in one form and coding. `without_sidecar` are files whose marks are removed;
    `serial_seen` is the serial of the page seen last, `source` the URL of the index, `note` is told of the
    hosts that the page links to before anybody else is (they change no byte).

    `own_forms` is for who asks the index by its own name: the forms that will do, the best first. Links
    then stay what they are, and the page stays as it came unless no form of `own_forms` is that of the
    page or the operator's policy takes something out of it."""

    project: str
    kind: PageType
    gzip: bool
    policy: PagePolicy
    without_sidecar: frozenset[bytes] = frozenset()
    serial_seen: int | None = None
    source: str = ""
    own_forms: tuple[PageType, ...] = ()
    note: Callable[[frozenset[Origin]], None] = lambda _: None

    @property
    def id(self) -> str:
        unmarked = hashlib.sha256(b"".join(sorted(self.without_sidecar))).hexdigest()[:12]
        coding = "gzip" if self.gzip else "identity"
        marks = f"/{unmarked}" if self.without_sidecar else ""
        forms = "+".join(form.name.lower() for form in self.own_forms)
        kind = f"own/{forms}" if forms else self.kind.name.lower()
        return f"page/{VERSION}/{kind}/{coding}/{self.policy.id}{marks}"

    @property
    def volatile(self) -> bool:
        return self.policy.stored_only is not None

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        coding = stored.headers.get("Content-Encoding").lower()
        data = decoded(body, coding, PAGE_BYTES_MAX)
        source = source_type(stored.headers.get("Content-Type"))
        kind = source if source in self.own_forms else self.kind
        page = PageFiles(
            self.project,
            kind,
            self.policy,
            (stored.url or stored.key).partition(" ")[0],
            without_sidecar=self.without_sidecar,
            keeps_links=bool(self.own_forms),
            source=self.source,
        )
        text = page.from_json(data) if source is PageType.JSON else page.from_html(data)
        header = _serial(stored.headers.get(_SERIAL_FIELD))
        page.serial = page.serial if header is None else header
        if self.policy.serial_guard and previous is not None:
            check_serial(stored, previous, page.serial, self.serial_seen)
        facts = page.facts()
        self.note(facts.hosts)
        if not self.own_forms:
            return self._ours(stored, text, facts)
        if kind is source and not page.has_changed:
            if self.gzip or coding in ("", "identity"):
                return Derived(stored.headers, body, facts)
            text = data
        return self._as_upstreams(stored, kind, text, facts)

    def _ours(self, stored: StoredResponse, text: bytes, facts: PageFacts) -> Derived:
        fields = [("Content-Type", self.kind.value)]
        if self.gzip:
            text = _gzipped(text)
            fields.append(("Content-Encoding", "gzip"))
        fields.append(("ETag", _etag(text)))
        serial = stored.headers.get(_SERIAL_FIELD)
        if serial:
            fields.append((_SERIAL_FIELD, serial))
        return Derived(Headers(fields), text, facts)

    def _as_upstreams(self, stored: StoredResponse, kind: PageType, text: bytes, facts: PageFacts) -> Derived:
        """Other bytes than upstream's, under its fields for all but the bytes."""
        if self.gzip:
            text = _gzipped(text)
        fields = stored.headers.replacing(
            {
                **dict.fromkeys(_OF_OTHER_BYTES),
                "Content-Type": kind.value,
                "Content-Encoding": "gzip" if self.gzip else None,
                "ETag": _etag(text),
            }
        )
        return Derived(fields, text, facts)


def _gzipped(text: bytes) -> bytes:
    return compress(text, 6 if len(text) < 4 << 20 else 1, mtime=0)


def _etag(text: bytes) -> str:
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


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


def _serial(text: str) -> int | None:
    return int(text) if _SERIAL.fullmatch(text) else None
