"""What a node tells the nodes below it about its purges: a bounded log, and what follows from it there.

A purge has the number that the store's sequence had after it. A node that knows all up to a number asks
for what came after; what is not in the log any more is a gap, and so is another epoch: the log was lost,
or purges were made that it has not seen.

Every purge keeps the id it got where it was made, so that it stops where it has been before, however nodes
follow one another: below, beside, in circles. Ids of one log grow; of each log whose purges came by, the
greatest is remembered beyond the purges themselves, so that nothing goes round for ever however many there
are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from edgeproxy.policy.surrogates import Position
from edgeproxy.storage.store import Purge, PurgeScope

PURGES_MAX = 1024
BYTES_MAX = 1 << 20  # of values, in all
PAGE_MAX = 256
PAGE_BYTES_MAX = 256 << 10
VALUE_LENGTH_MAX = 16 << 10
FILE_BYTES_MAX = 16 << 20
ID_LENGTH_MAX = 128
EPOCHS_MAX = 256  # logs of which the greatest id is remembered

_Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 60)]
_Epoch = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
_Value = Annotated[str, msgspec.Meta(max_length=VALUE_LENGTH_MAX)]


class FedPurge(msgspec.Struct, frozen=True, kw_only=True):
    """One purge as nodes tell it. `scope` is never that of a site: sites are named by each node alone. What
    is only for nodes `below` concerns what this one has, those beside it look after themselves."""

    number: _Number
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    scope: PurgeScope
    value: _Value = ""
    soft: bool = False
    below: bool = False

    @property
    def purge(self) -> Purge:
        return Purge(self.scope, self.value, soft=self.soft)


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """All purges after the place that was asked for, up to `number`. Not `complete`: there is a gap; the log
    holds all `since` a number."""

    epoch: _Epoch
    number: _Number
    complete: bool
    purges: Annotated[list[FedPurge], msgspec.Meta(max_length=PAGE_MAX)] = []
    since: _Number | None = None


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    epoch: _Epoch
    number: _Number
    floor: _Number
    purges: Annotated[list[FedPurge], msgspec.Meta(max_length=PURGES_MAX)]


class PurgeFeed:
    """The log of one node; lives on the event loop. It holds all purges after the number `floor`."""

    def __init__(self, epoch: str, number: int) -> None:
        self.epoch = epoch
        self._number = self._floor = number
        self._purges: deque[FedPurge] = deque()
        self._ids: set[str] = set()
        self._greatest: dict[str, tuple[int, ...]] = {}  # by the log of their making, in order of use
        self._bytes = 0

    @property
    def position(self) -> Position:
        return Position(self.epoch, self._number)

    def knows(self, id_: str) -> bool:
        return id_ in self._ids

    def has_had(self, fed: FedPurge, teller: str) -> bool:
        """Whether a purge that the log `teller` tells of was made here, or has been here before."""
        made_by, place = _made(fed.id)
        if fed.id in self._ids or made_by == self.epoch:
            return True
        # From where it was made it comes once and in order; others may be late with it.
        greatest = self._greatest.get(made_by)
        return greatest is not None and made_by != teller and place <= greatest

    def note(self, number: int, purges: Sequence[Purge], id_: str = "", *, below: bool = False) -> None:
        """The store's sequence has become `number` by one purge, which is told as `purges`."""
        self._number = number
        if len(purges) > PAGE_MAX or not all(map(_is_tellable, purges)):
            self._floor = number  # whoever has not seen it finds a gap
            purges = ()
        for place, purge in enumerate(purges):
            own = id_ if id_ and place == 0 else f"{id_ or f'{self.epoch}-{number}'}-{place}"
            self._add(
                FedPurge(
                    number=number,
                    id=own[:ID_LENGTH_MAX],
                    scope=purge.scope,
                    value=purge.value,
                    soft=purge.soft,
                    below=below,
                )
            )
        while len(self._purges) > PURGES_MAX or self._bytes > BYTES_MAX:
            self._floor = max(self._floor, self._purges[0].number)
            self._drop()
        while self._purges and self._purges[0].number <= self._floor:
            self._drop()

    def _add(self, fed: FedPurge) -> None:
        self._purges.append(fed)
        self._ids.add(fed.id)
        self._bytes += len(fed.value)
        made_by, place = _made(fed.id)
        if made_by and made_by != self.epoch:
            self._greatest[made_by] = max(place, self._greatest.pop(made_by, ()))
            while len(self._greatest) > EPOCHS_MAX:
                del self._greatest[next(iter(self._greatest))]

    def _drop(self) -> None:
        fed = self._purges.popleft()
        self._ids.discard(fed.id)
        self._bytes -= len(fed.value)

    def after(self, seen: Position | None) -> FeedPage:
        """What a node is told that has seen all up to `seen`."""
        if seen is None or seen.epoch != self.epoch or not self._floor <= seen.number <= self._number:
            return FeedPage(epoch=self.epoch, number=self._number, complete=False, since=self._floor)
        page = [fed for fed in self._purges if fed.number > seen.number]
        told = _cut(page)
        number = self._number if len(told) == len(page) else told[-1].number
        return FeedPage(epoch=self.epoch, number=number, complete=True, purges=told)

    # -- across restarts -----------------------------------------------------------------------

    def dump(self) -> bytes:
        kept = _Kept(epoch=self.epoch, number=self._number, floor=self._floor, purges=list(self._purges))
        return msgspec.json.encode(kept)

    @classmethod
    def load(cls, data: bytes, number: int, epoch: str) -> PurgeFeed:
        """The log as it was, if it ends where the store's sequence is now (`number`); else a new one."""
        try:
            kept = msgspec.json.decode(data, type=_Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return cls(epoch, number)
        if kept.number != number:
            return cls(epoch, number)
        feed = cls(kept.epoch, number)
        feed._floor = kept.floor
        for fed in kept.purges:
            feed._add(fed)
        return feed


def _made(id_: str) -> tuple[str, tuple[int, ...]]:
    """The log in which a purge got its id, and its place there; ("", ()) for an id that tells neither."""
    epoch, *numbers = id_.split("-")
    if not numbers or not all(one.isascii() and one.isdigit() for one in numbers):
        return "", ()
    return epoch, tuple(map(int, numbers))


def _is_tellable(purge: Purge) -> bool:
    return len(purge.value) <= VALUE_LENGTH_MAX and purge.scope is not PurgeScope.SITE


def _cut(purges: list[FedPurge]) -> list[FedPurge]:
    """As many as fit on a page. What has one number stays together: a number is told whole or not."""
    size = 0
    for count, fed in enumerate(purges):
        size += len(fed.value)
        if count >= PAGE_MAX or size > PAGE_BYTES_MAX:
            ends = [at for at in range(1, count + 1) if purges[at].number != purges[at - 1].number]
            return purges[: ends[-1]] if ends else [one for one in purges if one.number == fed.number]
    return purges


@dataclass(frozen=True, slots=True)
class Due:
    """What a node does about a page: these purges, or (`is_gap`) make stale all that the parent may have
    purged meanwhile. `is_own`: the page is the node's own, it would follow itself."""

    purges: tuple[FedPurge, ...]
    position: Position
    is_gap: bool = False
    is_own: bool = False


def due(page: FeedPage, seen: Position | None, own: PurgeFeed, *, beside: bool = False) -> Due:
    """What follows from `page` for a node that has seen all up to `seen`, and has the log `own`. `beside`: it
    is that of a sibling, from which nothing has come before it was known: its log is followed from where it
    begins."""
    position = Position(page.epoch, page.number)
    if page.epoch == own.epoch:
        return Due((), position, is_own=True)
    if seen is None and beside:
        begin = page.number if page.since is None else min(page.since, page.number)
        return Due((), Position(page.epoch, begin))
    is_next = seen is not None and seen.epoch == page.epoch and seen.number <= page.number
    is_told = page.complete and all(_is_tellable(fed.purge) for fed in page.purges)
    if seen is None or not is_next or not is_told:
        return Due((), position, is_gap=True)
    news = (fed for fed in page.purges if seen.number < fed.number <= page.number)
    fit = (fed for fed in news if not (beside and fed.below))
    return Due(tuple(fed for fed in fit if not own.has_had(fed, page.epoch)), position)


def told_below(purge: Purge, prefixes: Iterable[str]) -> tuple[Purge, ...]:
    """A purge in words that other nodes understand: a site becomes the URL prefixes of its upstreams."""
    if purge.scope is not PurgeScope.SITE:
        return (purge,)
    return tuple(Purge(PurgeScope.PREFIX, prefix, soft=purge.soft) for prefix in prefixes) or (purge,)


def taken_over(fed: FedPurge) -> tuple[Purge, ...]:
    """What is purged here when another node has purged: what stands behind a space in a cache key is that
    node's own, so the bare URL goes too."""
    bare, space, _ = fed.value.partition(" ")
    if fed.scope is PurgeScope.URL and space:
        return (fed.purge, Purge(fed.scope, bare, soft=fed.soft))
    return (fed.purge,)
