"""Which held responses servers may repeat: each has a slot of the shared table until it is retired."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from edgeproxy.message import Held, Reuse
from edgeproxy.policy.timed_fields import TimedFields
from edgeproxy.relay.messages import Mark, Reusing
from edgeproxy.relay.table import SharedTable


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    held: Held
    reuse: Reuse
    slot: int
    generation: int


class Marks:
    """The filler's side of the table. When all slots are given, the one given first is taken back."""

    def __init__(self, table: SharedTable) -> None:
        self._table = table
        self._free = list(range(table.slots - 1, -1, -1))
        self._given: OrderedDict[int, _Given] = OrderedDict()  # by slot, as they were given
        self._slots: dict[int, int] = {}  # id of what is held -> slot; held alive by _given
        table.begin()

    def __len__(self) -> int:
        return len(self._given)

    def sequence_changed(self, number: int) -> None:
        """A purge: told before anybody is told that it was done."""
        self._table.set_sequence(number)

    def reusing(self, reuse: Reuse, now: float) -> Reusing | None:
        """`reuse` in a form that can be sent; None where it cannot be, or is over already."""
        fields = reuse.timed(now, is_proven=id(reuse.held) in self._slots)
        if not isinstance(fields, TimedFields) or now >= reuse.held.fresh_until:
            return None
        source = None
        if reuse.source is not None:
            if now >= reuse.source.fresh_until:
                return None
            source = self._mark(reuse.source, reuse)
        return Reusing(self._mark(reuse.held, reuse), source, fields)

    def _mark(self, held: Held, reuse: Reuse) -> Mark:
        slot = self._slots.get(id(held))
        given = self._given[slot] if slot is not None else self._give(held, reuse)
        return Mark(given.slot, given.generation, held.fresh_until, held.sequence)

    def _give(self, held: Held, reuse: Reuse) -> _Given:
        if not self._free:
            self._take_back(next(iter(self._given.values())))
        slot = self._free.pop()
        given = self._given[slot] = _Given(held, reuse, slot, self._table.give(slot))
        self._slots[id(held)] = slot
        held.retired = lambda: self._take_back(given)
        return given

    def _take_back(self, given: _Given) -> None:
        if self._given.get(given.slot) is not given:
            return
        self._table.end(given.slot)
        del self._given[given.slot], self._slots[id(given.held)]
        given.held.retired = None
        self._free.append(given.slot)

    def used(self, slot: int, generation: int) -> None:
        """A server has answered with this since it last said so."""
        given = self._given.get(slot)
        if given is not None and given.generation == generation:
            given.reuse.used()

    def clear(self) -> None:
        """Nothing that was given may be used any more: another configuration is in force."""
        self._table.begin()
        for given in list(self._given.values()):
            self._take_back(given)
