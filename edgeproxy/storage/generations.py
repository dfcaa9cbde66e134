"""Purge sequences: how a purge of any number of responses is one increment.

One number grows with every purge. For each scope (all, site, URL, prefix, tag) the number of its
last hard and last soft purge is kept. A response carries the number that was current when its fill
began; it is dead if one of its scopes was purged with a higher one. That also covers fills that
run while the purge happens.

The table is bounded: when it is full, its older half becomes one purge of everything up to the
highest number in that half. That forgets more than was asked for and never less.

Purges are appended to a log beside the index, one line each:

    <number> <hard|soft> <scope> <value as JSON> <CRC-32 of what precedes, hex>

so that they hold even when the index is lost. A damaged line could have been any purge: then
everything older than the next number is dead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.crc32 import crc32
from edgeproxy.storage.store import Purge, PurgeScope

SCOPES_MAX = 16_384
VALUE_BYTES_MAX = 64 << 10


class Verdict(Enum):
    GOOD = "good"
    SOFT = "soft"  # kept, but stale
    DEAD = "dead"


@dataclass(slots=True)
class Generations:
    """The table. Changed on the loop only. What is stored may be older than `forgotten`, the last hard
    purge that was dropped; a fill that began before it may not be kept any more, because it cannot be
    told whether that purge meant it. `watch` is told of the number whenever it changes."""

    forgotten: int = 0
    hard: dict[tuple[str, str], int] = field(default_factory=dict)
    soft: dict[tuple[str, str], int] = field(default_factory=dict)
    watch: Callable[[int], None] | None = None
    number: int = 0  # what `sequence` gives; for who looks at every hit
    _prefix_lengths: tuple[int, ...] = ()

    @property
    def sequence(self) -> int:
        """Grows with every purge."""
        return self.number

    @sequence.setter
    def sequence(self, number: int) -> None:
        self.number = number
        if self.watch is not None:
            self.watch(number)

    def __len__(self) -> int:
        return len(self.hard) + len(self.soft)

    def purge(self, purge: Purge) -> int:
        """Note a purge and give its number."""
        self.restore(self.sequence + 1, purge)
        return self.sequence

    def restore(self, number: int, purge: Purge) -> None:
        """Note a purge that has a number already; safe to repeat, in any order."""
        table = self.soft if purge.soft else self.hard
        value = "" if purge.scope is PurgeScope.ALL else purge.value
        scope = (purge.scope.value, value)
        table[scope] = max(number, table.get(scope, 0))
        self.sequence = max(self.sequence, number)
        if purge.scope is PurgeScope.ALL and not purge.soft:
            self.forget(number, keep_all=True)
        if len(self) > SCOPES_MAX:
            self._fold()
            self._measure()
        elif purge.scope is PurgeScope.PREFIX:
            self._measure()

    def verdict(self, stored: StoredResponse) -> Verdict:
        """Whether a purge supersedes a response."""
        since = stored.sequence
        if since >= self.sequence:
            return Verdict.GOOD
        if _last(self.hard, stored, self._prefix_lengths) > since:
            return Verdict.DEAD
        if _last(self.soft, stored, self._prefix_lengths) > since:
            return Verdict.SOFT
        return Verdict.GOOD

    def forget(self, number: int, *, keep_all: bool = False) -> None:
        """Drop hard purges up to `number`: nothing older than it is stored any more."""
        everything = (PurgeScope.ALL.value, "")
        if not keep_all:
            self.forgotten = max([self.forgotten, *(n for n in self.hard.values() if n <= number)])
        self.hard = {
            scope: n for scope, n in self.hard.items() if n > number or (keep_all and scope == everything)
        }
        if keep_all:
            self.soft = {scope: n for scope, n in self.soft.items() if n > number}
        self._measure()

    def purges(self) -> list[tuple[int, Purge]]:
        """All that is known, by number."""
        known = [(n, Purge(PurgeScope(s), v)) for (s, v), n in self.hard.items()]
        known += [(n, Purge(PurgeScope(s), v, soft=True)) for (s, v), n in self.soft.items()]
        return sorted(known, key=lambda item: item[0])

    def _fold(self) -> None:
        everything = (PurgeScope.ALL.value, "")
        for table in (self.hard, self.soft):
            oldest = sorted(table.items(), key=lambda item: item[1])[: len(table) // 2]
            for scope, _ in oldest:
                del table[scope]
            if oldest:
                table[everything] = max(oldest[-1][1], table.get(everything, 0))

    def _measure(self) -> None:
        prefixes = (v for table in (self.hard, self.soft) for s, v in table if s == PurgeScope.PREFIX.value)
        self._prefix_lengths = tuple(sorted({len(value) for value in prefixes}))


def _last(table: dict[tuple[str, str], int], stored: StoredResponse, lengths: tuple[int, ...]) -> int:
    """The number of the last purge in `table` that names `stored`; 0 if none does."""
    if not table:
        return 0
    get, key = table.get, stored.key
    last = max(get(("all", ""), 0), get(("site", stored.site), 0), get(("url", key), 0))
    for length in lengths:
        if length <= len(key):
            last = max(last, get(("prefix", key[:length]), 0))
    for tag in stored.tags:
        last = max(last, get(("tag", tag), 0))
    return last


def log_line(number: int, purge: Purge) -> bytes:
    """One line of the purge log."""
    value = msgspec.json.encode(purge.value.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    text = b"%d %s %s %s" % (
        number,
        b"soft" if purge.soft else b"hard",
        purge.scope.value.encode("ascii"),
        value,
    )
    return b"%s %08x\n" % (text, crc32(text))


def read_log(data: bytes) -> tuple[list[tuple[int, Purge]], bool]:
    """The purges in a log, and whether a line of it is damaged. A last line without its end is the
    trace of a crash, not damage: its purge was never acknowledged."""
    *lines, _ = data.split(b"\n")
    purges: list[tuple[int, Purge]] = []
    damaged = False
    for line in lines:
        parsed = _parse_line(line)
        if parsed is None:
            damaged = True
        else:
            purges.append(parsed)
    return purges, damaged


def _parse_line(line: bytes) -> tuple[int, Purge] | None:
    text, _, check = line.rpartition(b" ")
    if check != b"%08x" % crc32(text):
        return None
    parts = text.split(b" ", 3)
    if len(parts) != 4 or not parts[0].isdigit() or len(parts[0]) > 18:
        return None
    try:
        value = msgspec.json.decode(parts[3], type=str)
        return int(parts[0]), Purge(PurgeScope(parts[2].decode("ascii")), value, soft=parts[1] == b"soft")
    except (ValueError, msgspec.DecodeError):
        return None
