"""What a node has stored, sorted for people: repositories, revisions, files. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

_REPOSITORY = "repo:"
_COMMIT = "commit:"
_HOST_PARTS = 3  # scheme, nothing, host


class Row(msgspec.Struct, frozen=True):
    """A stored response as the admin API lists it. Sizes in bytes, times wall-clock seconds."""

    key: str
    name: str = ""
    tags: tuple[str, ...] = ()
    size_bytes: int = 0
    held_bytes: int = 0
    complete: bool = True
    last_used: float = 0.0

    @property
    def repository(self) -> str:
        """As in hf:..., e.g. "org/name" or "datasets/org/name"; "" if it belongs to none."""
        tag = self._tag(_REPOSITORY)
        return tag.removeprefix("models/")

    @property
    def commit(self) -> str:
        return self._tag(_COMMIT)

    @property
    def is_file(self) -> bool:
        """Whether these are bytes of a file of a commit, and not what is said about one."""
        return bool(self.commit) and f"/resolve/{self.commit}/" in self.key

    @property
    def place(self) -> str:
        """Scheme and host it came from."""
        return "/".join(self.key.split("/")[:_HOST_PARTS])

    def _tag(self, kind: str) -> str:
        return next((tag.removeprefix(kind) for tag in self.tags if tag.startswith(kind)), "")


class Tally:
    """Counts of rows."""

    def __init__(self) -> None:
        self.files = 0
        self.complete = 0
        self.held_bytes = 0
        self.size_bytes = 0
        self.last_used = 0.0

    def add(self, row: Row) -> None:
        self.files += 1
        self.complete += row.complete
        self.held_bytes += row.held_bytes
        self.size_bytes += row.size_bytes
        self.last_used = max(self.last_used, row.last_used)


class Revision(NamedTuple):
    """A commit of a repository of which files are stored."""

    repository: str
    commit: str


def revisions(rows: Iterable[Row]) -> dict[Revision, Tally]:
    """By repository and commit, the most recently used commit of each repository first."""
    found: dict[Revision, Tally] = {}
    for row in rows:
        if row.is_file:
            found.setdefault(Revision(row.repository, row.commit), Tally()).add(row)
    order = sorted(found.items(), key=lambda item: (item[0].repository, -item[1].last_used, item[0].commit))
    return dict(order)


def files(rows: Iterable[Row], repository: str, commit: str) -> list[Row]:
    """Files of the commits of a repository that begin with `commit`, by name."""
    chosen = (
        row for row in rows if row.is_file and row.repository == repository and row.commit.startswith(commit)
    )
    return sorted(chosen, key=lambda row: (row.commit, row.name, row.key))


def against_listing(stored: Sequence[Row], listed: Iterable[tuple[str, int]], commit: str) -> list[Row]:
    """Every file of a commit as listed, by name and size, with what is stored of it."""
    here = {row.name: row for row in stored if row.commit == commit}
    return [here.get(name) or Row("", name, (_COMMIT + commit,), size, 0, False) for name, size in listed]


def places(rows: Iterable[Row]) -> dict[str, Tally]:
    """Everything by where it came from."""
    found: dict[str, Tally] = {}
    for row in rows:
        found.setdefault(row.place, Tally()).add(row)
    return dict(sorted(found.items()))


# -- as tables: see rendering.rows ------------------------------------------------------------


def revision_table(found: dict[Revision, Tally], now: float) -> list[dict[str, Any]]:
    return [
        {"repository": revision.repository, "revision": revision.commit[:12], **_counts(tally, now)}
        for revision, tally in found.items()
    ]


def place_table(found: dict[str, Tally], now: float) -> list[dict[str, Any]]:
    return [{"from": place, **_counts(tally, now)} for place, tally in found.items()]


def row_table(found: Sequence[Row], now: float, *, keys: bool) -> list[dict[str, Any]]:
    """One line each, under its key or its name."""
    several = len({row.commit for row in found}) > 1
    return [
        {
            **({"revision": row.commit[:12]} if several and not keys else {}),
            "file": row.key if keys else row.name or row.key,
            **_bytes(row.held_bytes, row.size_bytes),
            "complete": row.complete,
            "used": _ago(row.last_used, now),
        }
        for row in found
    ]


def _counts(tally: Tally, now: float) -> dict[str, Any]:
    return {
        "files": tally.files,
        "complete": tally.complete,
        **_bytes(tally.held_bytes, tally.size_bytes),
        "used": _ago(tally.last_used, now),
    }


def _bytes(held: int, size: int) -> dict[str, Any]:
    return {"held_bytes": held, "size_bytes": size, "held_ratio": held / size if size else 1.0}


def _ago(then: float, now: float) -> str:
    if then <= 0:
        return "-"
    seconds = max(0.0, now - then)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"
