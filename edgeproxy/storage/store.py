"""The interface between the pipeline and whatever keeps responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from edgeproxy.message import KeptFile, Part
from edgeproxy.policy.spans import Spans
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
    disk_partials: int
    logical_bytes: int  # what all responses on disk would take if none shared a body
    disk_state: str  # "ok", "full", or "off: <why>" while the disk is not used


@dataclass(frozen=True, slots=True)
class Listed:
    """One stored response on disk in a list: `stored` has key, name, tags, size and digest. `held_bytes`
    is what its body takes on disk (all of it for each response that shares it: `stored.body` tells them),
    of an incomplete one the bytes that are there. `place` is where the next page goes on."""

    place: str
    stored: StoredResponse
    held_bytes: int
    is_complete: bool
    last_used: float


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
    meantime or the store could not keep it. `abort` removes what was written; `quarantine` sets it aside
    as not being what `stored` says, for a person to look at. `close` frees descriptors; it is the last
    call, after any of them."""

    @property
    def written(self) -> int: ...

    async def write(self, chunks: Sequence[bytes]) -> None: ...

    def slice(self, start: int, end: int) -> Part: ...

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None: ...

    async def abort(self) -> None: ...

    async def quarantine(self, stored: StoredResponse, why: str) -> None: ...

    def close(self) -> None: ...


class PartialBody(Protocol):
    """A large body of known size held in parts in one sparse file, owned by one fill.

    `stored` is the response it will be (body_bytes the full size, digest the one expected or ""),
    `spans` which bytes are there; both are kept across restarts, exact to the byte after an orderly
    end, to the 4 MiB piece after any other. `write` returns when the bytes are where `slice` finds them
    and raises StorageError when the store cannot take them (the body then takes no more, what is there
    stays readable). Bytes from an earlier life of the process are proven by `check` before they are
    sent: it raises StorageError when they are not those once written, and they are then no longer in
    `spans`. `commit` is for a body that is all there: it becomes an ordinary stored body under `stored`;
    None if a purge superseded it or the store could not keep it. `quarantine` sets wrong bytes aside.
    `close` is the last call; without commit, discard or quarantine the parts stay for the next time."""

    @property
    def stored(self) -> StoredResponse: ...

    @property
    def size(self) -> int: ...

    @property
    def spans(self) -> Spans: ...

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None: ...

    async def check(self, start: int, end: int) -> None: ...

    def slice(self, start: int, end: int) -> Part: ...

    def read(self, start: int, end: int) -> bytes:
        """Bytes that are there; blocks, for threads. Raises StorageError."""
        ...

    async def freshen(self, stored: StoredResponse) -> None:
        """New fields and times for the same bytes; written down with the spans."""
        ...

    async def sync(self) -> None:
        """Write down what is there: data first, then the index."""
        ...

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None: ...

    async def discard(self) -> None: ...

    async def quarantine(self, why: str) -> None: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Keeps stored responses by cache key, several variants under each.

    `lookup` gives the variants that no hard purge supersedes; soft-purged ones come back with
    `fresh_until` 0. Trouble inside is counted, logged once per kind, and looks like absence.
    `lookup_memory` answers without waiting from the RAM tier, None when only `lookup` can tell; `peek` does
    the same, and is no use of what is there."""

    @property
    def sequence(self) -> int:
        """Grows with every purge."""
        ...

    def lookup_memory(self, key: str) -> tuple[StoredResponse, ...] | None: ...

    def peek(self, key: str) -> tuple[StoredResponse, ...] | None: ...

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

    async def lookup_partial(self, key: str, digest: str = "") -> tuple[StoredResponse, ...]:
        """Responses under `key`, or with the digest expected under any key, whose bodies are there in
        part and that no hard purge supersedes; soft-purged ones have `fresh_until` 0."""
        ...

    async def open_partial(self, stored: StoredResponse) -> PartialBody | None:
        """The parts of one that `lookup_partial` gave; None when they are gone or in use."""
        ...

    async def create_partial(self, stored: StoredResponse, *, sequence: int) -> PartialBody:
        """A new body of `stored.body_bytes` bytes, none of them there yet. Raises StorageError."""
        ...

    async def link(self, stored: StoredResponse) -> StoredResponse | None:
        """Make `stored` findable with the body whose SHA-256 is `stored.digest`, which is here under
        another name; None if it is not. `stored.sequence` is the purge sequence when it was learned."""
        ...

    async def freshen(self, old: StoredResponse, new: StoredResponse) -> StoredResponse:
        """Replace fields and times of `old`, keeping its body. Returns what is stored now."""
        ...

    async def remove(self, stored: StoredResponse) -> None: ...

    async def purge(self, purge: Purge) -> None:
        """Raises StorageError for a value beyond 64 KiB, which could not be written down."""
        ...

    def stored_keys(self, keys: Sequence[str]) -> frozenset[str]:
        """Which of `keys` have a stored response. Blocks; safe in any thread; for threads only."""
        ...

    def listing(self, prefix: str, after: str, limit: int) -> tuple[Listed, ...]:
        """What is on disk under keys that begin with `prefix`, by key: at most `limit` rows behind the
        place `after` ("" for the first page); fewer are the end. What no look-up would find any more is
        left out. Blocks; safe in any thread; for threads only. Raises StorageError."""
        ...

    def statistics(self) -> StoreStatistics: ...


class Reusable(Protocol):
    """A response in the RAM tier as the request memo sees it. `fresh_until` becomes 0, and `retired` is
    called, the moment it is replaced, freshened, removed, purged or evicted."""

    fresh_until: float
    sequence: int
    retired: Callable[[], None] | None
    data: bytes

    @property
    def file(self) -> KeptFile | None:
        """The file the body is in, if that is not in `data`."""
        ...

    def used(self) -> None:
        """Count a use for eviction; cheap enough for each request."""
        ...
