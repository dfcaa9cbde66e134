"""The old JSON API of an index (/pypi/<name>/json): file URLs become ours, absolute as it demands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_links import LinkRules, Resolver, host_id
from edgeproxy.sites.python_page_files import check_depth
from edgeproxy.sites.python_pages import decoded
from edgeproxy.sites.site import Derived, Unacceptable

LEGACY_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class LegacyView:
    """Volatile: `root`, the URL of our mount as this client sees it, comes from its request, and a
    client must not be able to fill the store with views of one page under many Hosts."""

    root: str
    links: LinkRules

    @property
    def id(self) -> str:
        return f"legacy/1/{hashlib.sha256(self.root.encode()).hexdigest()[:12]}"

    @property
    def volatile(self) -> bool:
        return True

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        document = _document(stored, body)
        resolver = Resolver((stored.url or stored.key).partition(" ")[0], self.links)
        for file in _files(document):
            digests = file.get("digests")
            hashed = isinstance(digests, dict) and isinstance(digests.get("sha256"), str)
            link = resolver.resolve(file["url"], hashed=hashed)
            if link is not None:
                file["url"] = f"{self.root}/f/{host_id(link.origin)}{link.path}"
        text = orjson.dumps(document)
        tag = hashlib.sha256(text).hexdigest()[:32]
        return Derived(Headers((("Content-Type", "application/json"), ("ETag", f'"{tag}"'))), text)


@dataclass(frozen=True, slots=True)
class OwnLegacyView:
    """The answer as it came, if it is one: for who asks the index by its own name. Decoded for a client
    that does not take gzip."""

    gzip: bool

    @property
    def id(self) -> str:
        return f"legacy/1/own/{'gzip' if self.gzip else 'identity'}"

    @property
    def volatile(self) -> bool:
        return False

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        _document(stored, body)
        coding = stored.headers.get("Content-Encoding")
        if self.gzip or coding.lower() in ("", "identity"):
            return Derived(stored.headers, body)
        text = decoded(body, coding, LEGACY_BYTES_MAX)
        tag = hashlib.sha256(text).hexdigest()[:32]
        return Derived(stored.headers.replacing({"Content-Encoding": None, "ETag": f'"{tag}"'}), text)


def _document(stored: StoredResponse, body: bytes) -> dict[str, Any]:
    """Raises Unacceptable for what does not describe a project."""
    data = decoded(body, stored.headers.get("Content-Encoding"), LEGACY_BYTES_MAX)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unacceptable("the answer is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("info"), dict):
        raise Unacceptable("the answer does not describe a project")
    check_depth(document)
    return document


def _files(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    releases = document.get("releases")
    lists = list(releases.values()) if isinstance(releases, dict) else []
    for files in (document.get("urls"), *lists):
        for file in files if isinstance(files, list) else ():
            if isinstance(file, dict) and isinstance(file.get("url"), str):
                yield file
