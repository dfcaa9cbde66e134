"""What pages have told about files: a bounded table from file to hash, size and sidecar."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from edgeproxy.sites import python_names
from edgeproxy.sites.remembering import remember
from edgeproxy.upstream.upstream import Origin

_Key = TypeVar("_Key")

FILES_MAX = 250_000
ALIASES_MAX = 20_000
REMOVED_MAX = 10_000
WITHOUT_SIDECAR_MAX = 10_000


def file_key(origin: Origin, canonical: str) -> bytes:
    """Short identity of a file; thousands of full URLs for each page would cost more memory."""
    return blake2b(f"{origin.url}{canonical}".encode(errors="surrogateescape"), digest_size=16).digest()


class FileFacts(NamedTuple):
    """`sidecar`: SHA-256 of the sidecar, b"" if advertised without one, None if not advertised.
    `path` is upstream's spelling where it is not the canonical one. `uploaded` in wall-clock seconds."""

    sha256: bytes = b""
    size: int | None = None
    sidecar: bytes | None = None
    path: str | None = None
    uploaded: float | None = None


@dataclass(frozen=True, slots=True)
class PageFacts:
    """All that one page tells. `aliases` are the projects its file names seem to belong to instead;
    `source` is the URL of the index whose page it is, here and below."""

    project: str
    files: dict[bytes, FileFacts] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    hosts: frozenset[Origin] = frozenset()
    serial: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class NoSidecar:
    """The sidecar a page advertises for this file cannot be had."""

    project: str
    file: bytes
    source: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """Upstream has no such project any more, and that is believed."""

    project: str
    source: str = ""


class Facts:
    """Facts of the pages seen last, each project's replaced as a whole; lives on the event loop."""

    def __init__(self, files_max: int = FILES_MAX) -> None:
        self._files_max = files_max
        self._files = 0
        self._pages: OrderedDict[str, PageFacts] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()
        self._without_sidecar: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def learn(self, learned: object) -> None:
        match learned:
            case PageFacts():
                self._learn_page(learned)
            case Removed(project):
                remember(self._removed, project, None, REMOVED_MAX)
            case NoSidecar(project, file):
                remember(self._without_sidecar, (project, file), None, WITHOUT_SIDECAR_MAX)

    def _learn_page(self, page: PageFacts) -> None:
        self._removed.pop(page.project, None)
        old = self._pages.pop(page.project, None)
        self._files += len(page.files) - (len(old.files) if old else 0)
        self._pages[page.project] = page
        for alias in page.aliases:
            self._aliases[alias] = page.project
            self._aliases.move_to_end(alias)
        while self._files > self._files_max and len(self._pages) > 1:
            _, dropped = self._pages.popitem(last=False)
            self._files -= len(dropped.files)
        while len(self._aliases) > ALIASES_MAX:
            self._aliases.popitem(last=False)

    def page(self, project: str) -> PageFacts | None:
        return self._pages.get(project)

    def find(self, origin: Origin, canonical: str) -> tuple[str, FileFacts] | None:
        """The project and the facts of a file; None if no page in the table lists it."""
        guess = python_names.project_of_file(python_names.file_name(canonical))
        if guess is None:
            return None
        key = file_key(origin, canonical)
        for project in (guess, self._aliases.get(guess)):
            page = self._pages.get(project) if project else None
            if page is not None and key in page.files:
                return page.project, page.files[key]
        return None

    def is_removed(self, project: str) -> bool:
        return project in self._removed

    def without_sidecar(self, project: str) -> frozenset[bytes]:
        """Files of a project whose sidecar is advertised and cannot be had."""
        return frozenset(file for owner, file in self._without_sidecar if owner == project)

    def serial(self, project: str) -> int | None:
        """Serial of the page seen last, None if it had none."""
        page = self._pages.get(project)
        return page.serial if page else None
