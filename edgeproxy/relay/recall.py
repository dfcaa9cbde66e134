"""What a server remembers of the filler's answers, so that it can repeat them by itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from edgeproxy.message import Headers, Held, Reuse
from edgeproxy.policy.timed_fields import TimedFields
from edgeproxy.relay.messages import Mark, Reusing
from edgeproxy.relay.table import SharedTable

USED_MAX = 65_536
_ENTRY_BYTES = 600


class SharedHeld:
    """A message.Held whose `sequence` is that of no store once its slot stands for something else."""

    __slots__ = ("_generation", "_place", "_sequence", "_words", "fresh_until", "retired", "slot")

    def __init__(self, mark: Mark, table: SharedTable) -> None:
        self.slot = mark.slot
        self.retired: Callable[[], None] | None = None
        self._generation = mark.generation
        self._words = table.words
        self._place = table.first + mark.slot
        self.renew(mark)

    def renew(self, mark: Mark) -> None:
        self.fresh_until = mark.fresh_until
        self._sequence = mark.sequence

    @property
    def sequence(self) -> int:
        return self._sequence if self._words[self._place] == self._generation else -1

    @property
    def key(self) -> tuple[int, int]:
        return self.slot, self._generation


class Recalled:
    """A message.Reuse that came from the filler."""

    __slots__ = ("_fields", "_used", "data", "held", "source")

    def __init__(
        self,
        held: SharedHeld,
        source: SharedHeld | None,
        data: bytes,
        fields: TimedFields,
        used: Callable[[tuple[int, int]], None],
    ) -> None:
        self.held: Held = held
        self.source: Held | None = source
        self.data = data
        self._fields = fields
        self._used = used

    @property
    def file(self) -> None:
        return None

    @property
    def size(self) -> int:
        return len(self.data)

    def fields(self, now: float) -> Headers:
        return self._fields.fields(now)

    def timed(self, now: float, *, is_proven: bool = False) -> TimedFields | None:
        return self._fields

    def used(self) -> None:
        held = self.held
        if isinstance(held, SharedHeld):
            self._used(held.key)


class Recall:
    """The answers a server remembers, one content for each held response however many heads lead to it;
    at most `bytes_max` of them, the longest known leaves first."""

    def __init__(self, table: SharedTable, bytes_max: int) -> None:
        self._table = table
        self._bytes_max = bytes_max
        self._known: OrderedDict[tuple[int, int], tuple[SharedHeld, bytes]] = OrderedDict()
        self.bytes = 0
        self.used: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def reuse(self, reusing: Reusing, data: bytes) -> Reuse:
        """What the memo may keep of an answer with content `data`."""
        source = None if reusing.source is None else SharedHeld(reusing.source, self._table)
        held, data = self._hold(reusing.held, data)
        return Recalled(held, source, data, reusing.fields, self._use)

    def _hold(self, mark: Mark, data: bytes) -> tuple[SharedHeld, bytes]:
        key = (mark.slot, mark.generation)
        known = self._known.get(key)
        if known is not None:
            known[0].renew(mark)
            return known
        held = SharedHeld(mark, self._table)
        if len(data) + _ENTRY_BYTES > self._bytes_max:
            held.fresh_until = 0.0
            return held, data
        self._known[key] = (held, data)
        self.bytes += len(data) + _ENTRY_BYTES
        if self.bytes > self._bytes_max:
            self.sweep()
        while self.bytes > self._bytes_max:
            self._forget(next(iter(self._known)))
        return held, data

    def _forget(self, key: tuple[int, int]) -> None:
        held, data = self._known.pop(key)
        held.fresh_until = 0.0
        self.bytes -= len(data) + _ENTRY_BYTES

    def sweep(self) -> None:
        """Let go of what has been retired."""
        for key in [key for key in self._known if not self._table.holds(*key)]:
            self._forget(key)

    def _use(self, key: tuple[int, int]) -> None:
        if len(self.used) < USED_MAX:
            self.used.add(key)
