"""Numbers in memory that all processes of a node share, made before they fork.

    purge sequence | epoch | slot 0 | slot 1 | ...                (8 bytes each)

A slot holds the generation of the one answer it stands for, or 0. Whoever remembers an answer keeps slot
and generation, and compares: one look at memory tells whether it may still be used. Only the filler
writes. A generation is never given twice: it begins with the epoch, which each new filler raises."""

from __future__ import annotations

import mmap
from array import array

SLOTS = 1 << 16
_EPOCH_BITS = 40  # generations in one epoch
_FIRST = 2


class SharedTable:
    """Shared by every process forked after it was made. Aligned words are written and read whole."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self._map = mmap.mmap(-1, 8 * (_FIRST + slots))
        self._words = memoryview(self._map).cast("Q")
        self._next = 0

    # By everybody.

    @property
    def sequence(self) -> int:
        """The purge sequence of the filler's store."""
        return self._words[0]

    def holds(self, slot: int, generation: int) -> bool:
        return self._words[_FIRST + slot] == generation

    @property
    def words(self) -> memoryview:
        """For who looks at every hit: the sequence, and the slots behind `first`."""
        return self._words

    @property
    def first(self) -> int:
        return _FIRST

    # By the filler.

    def begin(self) -> None:
        """A new epoch: nothing that was given before may be used any more."""
        self._words[_FIRST:] = memoryview(array("Q", bytes(8 * self.slots)))
        self._words[1] += 1
        self._next = 0

    def set_sequence(self, number: int) -> None:
        self._words[0] = number

    def give(self, slot: int) -> int:
        """Let `slot` stand for something new; gives its generation."""
        self._next += 1
        generation = self._words[1] << _EPOCH_BITS | self._next
        self._words[_FIRST + slot] = generation
        return generation

    def end(self, slot: int) -> None:
        """What `slot` stood for may not be used any more."""
        self._words[_FIRST + slot] = 0
