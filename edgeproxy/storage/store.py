"""The interface between the pipeline and whatever keeps responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from edgeproxy.message import Part
from edgeproxy.policy.stored import StoredResponse


class PurgeScope(StrEnum):
    ALL = "all"
    SITE = "site"
    URL = "url"
    PREFIX = "prefix"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class Purge:
    """What to invalidate: `value` is the site's name, cache key, key prefix or tag ("" for ALL).
    Soft makes stale, hard makes a miss; both supersede fills that began before."""

    scope: PurgeScope
    value: str = ""
    soft: bool = False


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Counts and bytes as held now; limits as configured."""

    memory_bytes: int
    memory_bytes_max: int
    memory_responses: int
    disk_bytes: int
    disk_bytes_max: int
    disk_responses: int
    disk_bodies: int
    disk_state: str  # "ok", "full", or "off: <why>" while the disk is not used


class StoredBody(Protocol):
    """A complete stored body, held open for one answer. `data` is the whole of it if it is in RAM.

    `check` proves that the bytes [start, end) are those once stored (checksums; at once when this
    was proven since the file last changed) and raises StorageError if they are not: call it before
    sending a slice. `close` exactly once."""

    @property
    def size(self) -> int: ...

    @property
    def data(self) -> bytes | None: ...

    async def check(self, start: int, end: int) -> None: ...

    def slice(self, start: int, end: int) -> Part: ...

    def close(self) -> None: ...


class BodyWriter(Protocol):
    """A body being stored, owned by one fill. Data arrives in order.

    `written` bytes can be read back through `slice`, also after `commit` and `abort`, until `close`.
    `write` returns when the chunks are where `slice` finds them (RAM for small bodies, the file
    for others) and raises StorageError when the store cannot take them: the writer is then dead,
    but what was written stays readable. `commit` makes the response findable (data first, then
    index) under `stored`, which it completes with body identity, size and purge sequence; it
    replaces the variant with the same `selecting`, and returns None if a purge superseded it in the
    meantime or the store could not keep it. `abort` removes what was written. `close` frees
    descriptors; it is the last call, after either."""

    @property
    def written(self) -> int: ...

    async def write(self, chunks: Sequence[bytes]) -> None: ...

    def slice(self, start: int, end: int) -> Part: ...

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None: ...

    async def abort(self) -> None: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Keeps stored responses by cache key, several variants under each.

    `lookup` gives the variants that no hard purge supersedes; soft-purged ones come back with
    `fresh_until` 0. Trouble inside is counted, logged once per kind, and looks like absence.
    `lookup_memory` answers without waiting from the RAM tier, None when only `lookup` can tell."""

    @property
    def sequence(self) -> int:
        """Grows with every purge."""
        ...

    def lookup_memory(self, key: str) -> tuple[StoredResponse, ...] | None: ...

    async def lookup(self, key: str) -> tuple[StoredResponse, ...]: ...

    def open_memory(self, stored: StoredResponse) -> StoredBody | None:
        """The body if it is in RAM, without waiting."""
        ...

    async def open(self, stored: StoredResponse) -> StoredBody | None:
        """The body, or None when it is gone or damaged (then the response is dropped: a miss)."""
        ...

    def reusable(self, stored: StoredResponse) -> Reusable | None:
        """A handle on the RAM tier's copy for the request memo; None if it is not in RAM."""
        ...

    def writer(
        self, key: str, *, sequence: int, expected_bytes: int | None, memory_only: bool
    ) -> BodyWriter: ...

    async def freshen(self, old: StoredResponse, new: StoredResponse) -> StoredResponse:
        """Replace fields and times of `old`, keeping its body. Returns what is stored now."""
        ...

    async def remove(self, stored: StoredResponse) -> None: ...

    async def purge(self, purge: Purge) -> None: ...

    def stored_keys(self, keys: Sequence[str]) -> frozenset[str]:
        """Which of `keys` have a stored response. Blocks; safe in any thread; for threads only."""
        ...

    def statistics(self) -> StoreStatistics: ...


class Reusable(Protocol):
    """A response in the RAM tier as the request memo sees it. `fresh_until` becomes 0 the moment it
    is replaced, freshened, removed, purged or evicted."""

    fresh_until: float
    sequence: int
    data: bytes

    def used(self) -> None:
        """Count a use for eviction; cheap enough for each request."""
        ...
