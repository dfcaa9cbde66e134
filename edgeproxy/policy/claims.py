"""What of a large body is to be fetched next: pure, from what is there, what is being fetched, and
what its readers need.

A claim is a range [position, end) that one exchange with an upstream is bringing, in order. Claims
overlap neither each other nor what is there: no byte is fetched twice. A reader that waits far behind
the position of a claim has it cut there and gets one of its own; with several exchanges wanted, claims
become windows, handed out in the order of the body ahead of the readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeproxy.policy.spans import Span, Spans

NEAR_BYTES = 2 << 20  # the least that is near
BLOCK_BYTES = 1 << 20  # to whose end a small range is rounded up
WINDOW_BYTES = 16 << 20  # of a claim while several exchanges run side by side


@dataclass(frozen=True, slots=True)
class Claims:
    """`start` these, after `cut`ting running claims: index in the sequence given -> new end."""

    start: tuple[Span, ...]
    cut: dict[int, int]


class _Board:
    """Running and new claims while a decision is made."""

    def __init__(self, present: Spans, running: Sequence[Span], size: int) -> None:
        self.present, self.size = present, size
        self.running = list(running)
        self.cut: dict[int, int] = {}
        self.started: list[Span] = []

    @property
    def count(self) -> int:
        return len(self.running) + len(self.started)

    def all(self) -> Iterable[Span]:
        yield from self.running
        yield from self.started

    def claimed_upto(self, offset: int) -> int:
        return max((end for position, end in self.all() if position <= offset < end), default=offset)

    def first_free(self, offset: int, stop: int) -> int | None:
        """The first byte at or after `offset` that is neither there nor claimed."""
        while offset < stop:
            beyond = max(self.present.upto(offset), self.claimed_upto(offset))
            if beyond == offset:
                return offset
            offset = beyond
        return None

    def free_end(self, offset: int, stop: int) -> int:
        """Where the free run from `offset` ends."""
        following = self.present.next(offset)
        ends = [position for position, _ in self.all() if position > offset]
        if following is not None:
            ends.append(following)
        return min([*ends, stop, self.size])

    def stop(self, offset: int, end: int, segment: int) -> int:
        """Where to stop for a reader of [offset, end); the clients of long ranges ask for the next one
        themselves."""
        if end - offset >= segment:
            return end
        goes_on = offset > 0 and self.present.holds(offset - 1, offset)
        unit = segment if goes_on else min(BLOCK_BYTES, segment)
        return min(self.size, -(-end // unit) * unit)

    def claim(self, offset: int, stop: int) -> None:
        self.started.append((offset, self.free_end(offset, stop)))

    def cut_at(self, offset: int) -> None:
        """Let the claim that covers `offset` end there."""
        for number, (position, end) in enumerate(self.running):
            if position < offset < end:
                self.running[number] = (position, offset)
                self.cut[number] = offset
        self.started = [(p, offset if p < offset < e else e) for p, e in self.started]


def plan_claims(
    present: Spans,
    running: Sequence[Span],
    wants: Iterable[Span],
    *,
    size: int,
    segment: int,
    whole: bool,
    parallel: int,
    windowed: bool,
    claims_max: int,
    near: int = NEAR_BYTES,
) -> Claims:
    """`wants`: for each reader (next byte it needs, end of what it reads). `whole`: the rest is wanted
    as well. `parallel`: exchanges that should run side by side while there is work for them. `windowed`:
    no claim is longer than a window, so that there is. `near`: who is so close behind the position of a
    claim waits for it, since to cut it costs what is on its way."""
    board = _Board(present, running, size)
    windows = _Windows(size, segment, parallel) if windowed else None
    wants = sorted(set(wants))
    for offset, end in wants:
        if board.count >= claims_max:
            break
        _serve(board, offset, end, segment, near, windows)
    goals = [(offset, board.stop(offset, end, segment)) for offset, end in wants] if parallel > 1 else []
    if whole:
        goals.append((0, size))
    if windows is not None:
        _cut_long(board, windows)
    least = 1 if whole else 0
    for offset, stop in goals:
        while board.count < min(max(parallel, least), claims_max):
            free = board.first_free(offset, stop)
            if free is None:
                break
            board.claim(free, stop if windows is None else min(stop, windows.end(free)))
    return Claims(tuple(board.started), board.cut)


def _serve(board: _Board, offset: int, end: int, segment: int, near: int, windows: _Windows | None) -> None:
    """See that the first byte a reader lacks is on its way."""
    hole = board.present.upto(offset)
    if hole >= end:
        return
    for position, stop in board.all():
        if position <= hole < stop:
            # Where a claim ends soon, what is on its way already would come twice.
            if hole - position <= near or stop - position <= 2 * segment:
                return
            board.cut_at(hole)
            break
    stop = board.stop(hole, end, segment)
    board.claim(hole, stop if windows is None else min(stop, windows.end(hole)))


def _cut_long(board: _Board, windows: _Windows) -> None:
    """Windows for all: a claim to the end of the body leaves nothing to fetch beside it."""
    for number, (position, end) in enumerate(board.running):
        window_end = windows.end(position + NEAR_BYTES)  # what is close is on its way
        if end > window_end and end - position > windows.longest:
            board.running[number] = (position, window_end)
            board.cut[number] = window_end


@dataclass(frozen=True, slots=True)
class _Windows:
    """How much one of several exchanges brings: little at the start of a body, which readers wait for, and at
    its end, so that the last exchanges end together; a request costs a round trip, so much in between."""

    size: int
    segment: int
    parallel: int

    @property
    def longest(self) -> int:
        return max(WINDOW_BYTES, self.segment)

    def end(self, offset: int) -> int:
        """Where the window that begins at `offset` ends: with a segment."""
        share = (self.size - offset) // self.parallel
        length = min(WINDOW_BYTES if offset >= WINDOW_BYTES else self.segment, share)
        return (offset // self.segment + max(1, length // self.segment)) * self.segment
