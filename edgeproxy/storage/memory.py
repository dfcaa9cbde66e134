"""The RAM tier: for each key all its variants' heads, and the bodies that are small enough; larger ones that
were asked for lately are held as open files.

An entry holds *every* variant stored under its key, so what it does not list is not stored; also
none at all, which answers repeated misses without asking the index. Whole entries leave. An entry
that still waits to be written to disk is pinned: eviction forgets its place but not the entry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from edgeproxy.errors import StorageError
from edgeproxy.message import Part
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.eviction import Eviction
from edgeproxy.storage.open_file import OpenFile

ENTRY_BYTES = 700  # the entry, its places in tables, its key apart
VARIANT_BYTES = 700
FIELD_BYTES = 180
COPY_BYTES = 250
OPEN_BYTES = 2500  # an open file: its footer, and what the kernel keeps
IDLE_TURNS = 12  # of `close_idle` that an open file outlives its last use
TOUCHED_MAX = 65_536  # a store in RAM only never tells an index


class Copy:
    """One response at hand: a store.Reusable. Its body is `data`, or that of `file`, or in both."""

    __slots__ = ("_used", "body", "data", "file", "fresh_until", "key", "retired", "sequence")

    def __init__(
        self,
        stored: StoredResponse,
        data: bytes,
        file: OpenFile | None,
        sequence: int,
        used: Callable[[str, str], None],
    ) -> None:
        self.key, self.body = stored.key, stored.body
        self.data = data
        self.file = file
        self.fresh_until = stored.fresh_until
        self.sequence = sequence
        self.retired: Callable[[], None] | None = None
        self._used = used

    @property
    def is_in_ram(self) -> bool:
        return self.file is None or bool(self.data)

    def used(self) -> None:
        self._used(self.key, self.body)

    def retire(self) -> None:
        self.make_stale()
        self.data = b""
        self.file = None

    def make_stale(self) -> None:
        """Nobody may answer with it without asking the store."""
        self.fresh_until = 0.0
        if self.retired is not None:
            self.retired()


class Entry:
    """Everything stored under one key. `checked` is the purge sequence up to which it is known good."""

    __slots__ = ("checked", "copies", "is_placed", "pins", "size", "variants")

    def __init__(self) -> None:
        self.variants: tuple[StoredResponse, ...] = ()
        self.copies: dict[str, Copy] = {}
        self.pins = 0
        self.size = 0
        self.checked = -1
        self.is_placed = False


class MemoryBody:
    """A store.StoredBody in RAM."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data: bytes | None = data
        self.size = len(data)

    async def check(self, start: int, end: int) -> None:
        if self.data is None:
            raise StorageError("the body is closed")

    def slice(self, start: int, end: int) -> Part:
        if self.data is None:
            raise StorageError("the body is closed")
        return self.data if (start, end) == (0, self.size) else memoryview(self.data)[start:end]

    def close(self) -> None:
        self.data = None


class RamTier:
    """Entries by key, bounded by `bytes_max` including overhead; of their bodies at most `open_max` are open
    files. Used on the loop only."""

    def __init__(
        self, bytes_max: int, eviction: Eviction, evicted: Callable[[], None], open_max: int = 0
    ) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self.open_max = open_max
        self._open: OrderedDict[tuple[str, str], int] = OrderedDict()  # the turn of the last use
        self._turn = 0
        self._eviction = eviction
        self._evicted = evicted
        self._entries: dict[str, Entry] = {}
        self.key_of: dict[str, str] = {}  # body -> a key, of all variants held
        self._further_keys: dict[str, set[str]] = {}  # body -> more keys, where several share it
        self.touched: set[tuple[str, str]] = set()  # key and body of what was used since the index was told

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def responses(self) -> int:
        """Responses whose body is in RAM."""
        return sum(copy.is_in_ram for entry in self._entries.values() for copy in entry.copies.values())

    def keys(self) -> list[str]:
        return list(self._entries)

    def find(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def used(self, key: str, body: str) -> None:
        self._eviction.touch(key)
        place = (key, body)
        if place in self._open:
            self._open[place] = self._turn
            self._open.move_to_end(place)
        if len(self.touched) < TOUCHED_MAX:
            self.touched.add((key, body))

    def touch(self, key: str) -> None:
        self._eviction.touch(key)

    def hold(self, key: str, variants: tuple[StoredResponse, ...], checked: int) -> Entry:
        """Note what is stored under `key`; copies of what no longer is are retired."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry()
        kept = {stored.body for stored in variants}
        for stored in entry.variants:
            if stored.body not in kept:
                self._disclaim(key, stored.body)
        for body in [body for body in entry.copies if body not in kept]:
            self._retire(key, entry.copies.pop(body))
        for body in kept:
            self._claim(key, body)
        entry.variants, entry.checked = variants, checked
        self._measure(key, entry)
        return entry

    def keys_of(self, body: str) -> list[str]:
        """The keys under which a body is held."""
        first = self.key_of.get(body)
        return [] if first is None else [first, *self._further_keys.get(body, ())]

    def _claim(self, key: str, body: str) -> None:
        if self.key_of.setdefault(body, key) != key:
            self._further_keys.setdefault(body, set()).add(key)

    def _disclaim(self, key: str, body: str, *, is_gone: bool = True) -> None:
        """`is_gone` if the response is not stored any more, so that its use need not be told."""
        if is_gone:
            self.touched.discard((key, body))
        further = self._further_keys.get(body)
        if further is None:
            self.key_of.pop(body, None)
            return
        if key in further:
            further.remove(key)
        elif self.key_of.get(body) == key:
            self.key_of[body] = further.pop()
        if not further:
            del self._further_keys[body]

    def copy(self, entry: Entry, stored: StoredResponse, data: bytes, sequence: int) -> Copy:
        """Hold the body of one of the entry's variants; what was held for it is retired."""
        return self._put(entry, stored, data, None, sequence)

    def keep_open(
        self, entry: Entry, stored: StoredResponse, file: OpenFile, sequence: int, data: bytes = b""
    ) -> None:
        """Hold the body of one of the entry's variants as an open file, if any may be held so, beside its
        content if that is given."""
        if not self.open_max:
            if data:
                self.copy(entry, stored, data, sequence)
            return
        self._put(entry, stored, data, file, sequence)
        if self._entries.get(stored.key) is not entry:
            return
        self._open[stored.key, stored.body] = self._turn
        self._open.move_to_end((stored.key, stored.body))
        while len(self._open) > self.open_max:
            self._close(*next(iter(self._open)))

    def renew(self, entry: Entry, stored: StoredResponse, copy: Copy, sequence: int) -> None:
        """Hold the same body for a response whose fields or times have changed."""
        if copy.file is None:
            self.copy(entry, stored, copy.data, sequence)
        else:
            self.keep_open(entry, stored, copy.file, sequence, copy.data)

    def close_idle(self) -> None:
        """Let go of open files not used for a while; called at a steady pace."""
        self._turn += 1
        while self._open:
            place, turn = next(iter(self._open.items()))
            if turn + IDLE_TURNS > self._turn:
                break
            self._close(*place)

    def close_all(self) -> None:
        """Let go of every open file."""
        while self._open:
            self._close(*next(iter(self._open)))

    def _close(self, key: str, body: str) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            self.let_go(key, entry, body)
        self._open.pop((key, body), None)

    def let_go(self, key: str, entry: Entry, body: str) -> None:
        """Hold the file of a body no longer; its content stays, if it is in RAM."""
        copy = entry.copies.get(body)
        if copy is None or copy.file is None:
            return
        stored = next((held for held in entry.variants if held.body == body), None)
        if copy.data and stored is not None:
            self.copy(entry, stored, copy.data, copy.sequence)
        else:
            self.drop_copy(key, entry, body)

    def _put(
        self, entry: Entry, stored: StoredResponse, data: bytes, file: OpenFile | None, sequence: int
    ) -> Copy:
        old = entry.copies.get(stored.body)
        copy = entry.copies[stored.body] = Copy(stored, data, file, sequence, self.used)
        if old is not None:
            self._retire(stored.key, old)
        self._measure(stored.key, entry)
        return copy

    def _retire(self, key: str, copy: Copy) -> None:
        if copy.file is not None:
            self._open.pop((key, copy.body), None)
        copy.retire()

    def drop_copy(self, key: str, entry: Entry, body: str) -> None:
        copy = entry.copies.pop(body, None)
        if copy is not None:
            self._retire(key, copy)
            self._measure(key, entry)

    def pin(self, key: str, entry: Entry) -> Entry:
        """Keep the entry until `unpin`, even if eviction has taken it meanwhile."""
        held = self._entries.setdefault(key, entry)
        held.pins += 1
        if held is entry and not held.size:
            for stored in held.variants:
                self._claim(key, stored.body)
            held.size = _size(key, held)
            self.bytes += held.size
        return held

    def unpin(self, key: str, entry: Entry) -> None:
        entry.pins -= 1
        if not entry.pins and not entry.is_placed:
            self.drop(key)

    def drop(self, key: str) -> None:
        """Let go of an entry; a pinned one only loses its place."""
        entry = self._entries.get(key)
        if entry is None:
            return
        self._eviction.remove(key)
        entry.is_placed = False
        if entry.pins:
            return
        del self._entries[key]
        for copy in entry.copies.values():
            self._retire(key, copy)
        for stored in entry.variants:
            self._disclaim(key, stored.body, is_gone=False)
        self.bytes -= entry.size
        entry.size = 0
        entry.copies = {}

    def _measure(self, key: str, entry: Entry) -> None:
        if self._entries.get(key) is not entry:
            return  # it did not fit
        size = _size(key, entry)
        self.bytes += size - entry.size
        entry.size = size
        self._eviction.admit(key, size)
        entry.is_placed = True
        if self.bytes > self.bytes_max:
            for victim in self._eviction.victims(self.bytes - self.bytes_max):
                self.drop(victim)
                self._evicted()


def _size(key: str, entry: Entry) -> int:
    size = ENTRY_BYTES + 2 * len(key)
    for stored in entry.variants:
        size += VARIANT_BYTES + sum(len(n) + len(v) + FIELD_BYTES for n, v in stored.fields)
        size += sum(len(tag) + 60 for tag in stored.tags) + len(stored.key)
    for copy in entry.copies.values():
        size += COPY_BYTES + len(copy.data) + (OPEN_BYTES if copy.file is not None else 0)
    return size
