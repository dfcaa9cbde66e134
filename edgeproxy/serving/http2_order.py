"""Which stream may send next: extensible priorities (RFC 9218). Pure.

The least urgency number goes first. Within it, streams that are incremental take turns, and so do those
whose client said nothing; those declared to be not incremental are sent one after the other, in the
order of their requests, and share the turns with the others."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, Protocol, TypeVar

from edgeproxy.policy.structured import parse_dictionary

URGENCY_DEFAULT = 3
URGENCIES = 8


class Priority(NamedTuple):
    """`incremental` is what makes a stream take turns with others."""

    urgency: int = URGENCY_DEFAULT
    incremental: bool = True


UNTOLD = Priority()


def parse_priority(text: str) -> Priority:
    """A Priority field; what is malformed or out of range counts as not told (RFC 9218 section 4)."""
    if not text:
        return UNTOLD
    members = parse_dictionary(text)
    if members is None:
        return UNTOLD
    urgency, incremental = members.get("u"), members.get("i", False)
    if type(urgency) is not int or not 0 <= urgency < URGENCIES:
        urgency = URGENCY_DEFAULT
    return Priority(urgency, incremental is True)


class Prioritized(Protocol):
    """What stands in the order. `is_queued` belongs to the order."""

    id: int
    priority: Priority
    is_queued: bool


Member = TypeVar("Member", bound=Prioritized)


class _Rank(Generic[Member]):
    """The members of one urgency."""

    __slots__ = ("line", "turn_of_line", "turning")

    def __init__(self) -> None:
        self.turning: deque[Member] = deque()
        self.line: list[tuple[int, Member]] = []
        self.turn_of_line = True


class Order(Generic[Member]):
    """Streams with something to send. Who took a turn and has more to send is added again."""

    __slots__ = ("_count", "_ranks")

    def __init__(self) -> None:
        self._ranks: list[_Rank[Member] | None] = [None] * URGENCIES  # made when first needed
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, member: Member) -> None:
        if member.is_queued:
            return
        member.is_queued = True
        self._count += 1
        rank = self._rank(member.priority.urgency)
        if member.priority.incremental:
            rank.turning.append(member)
        else:
            heappush(rank.line, (member.id, member))

    def take(self) -> Member | None:
        """The one whose turn it is, taken out; None if there is nobody."""
        if not self._count:
            return None
        for rank in self._ranks:
            if rank is None:
                continue
            if rank.line and (rank.turn_of_line or not rank.turning):
                rank.turn_of_line = False
                return self._taken(heappop(rank.line)[1])
            if rank.turning:
                rank.turn_of_line = True
                return self._taken(rank.turning.popleft())
        return None

    def _rank(self, urgency: int) -> _Rank[Member]:
        rank = self._ranks[urgency]
        if rank is None:
            rank = self._ranks[urgency] = _Rank()
        return rank

    def _taken(self, member: Member) -> Member:
        member.is_queued = False
        self._count -= 1
        return member

    def discard(self, member: Member) -> None:
        if not member.is_queued:
            return
        self._taken(member)
        rank = self._rank(member.priority.urgency)
        if member.priority.incremental:
            rank.turning.remove(member)
        else:
            rank.line.remove((member.id, member))
            heapify(rank.line)

    def move(self, member: Member, priority: Priority) -> None:
        """Give `member` another priority, wherever it stands."""
        queued = member.is_queued
        self.discard(member)
        member.priority = priority
        if queued:
            self.add(member)
