"""Whether a node is down: what several points see of it, and how long it has to behave before it is back.

A point (this router, or a node that looks at another) changes its opinion slowly: three failures in a row or
five of ten say down, five successes in a row say alive. The opinions that are fresh decide by majority, so a
point that is cut off decides nothing. A node that keeps going down has to be well for longer each time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class VoteRules:
    """Looks and seconds. `hold_seconds` is for how long a node must be well without a break before it is back
    after its first, second ... return within `hold_window`; the last one stands for all further ones."""

    down_row: int = 3
    down_most: int = 5
    down_of: int = 10
    up_row: int = 5
    fresh_seconds: float = 30.0  # an opinion that is older does not count
    pause_seconds: float = 120.0  # looks before such a pause say nothing of those behind it
    hold_seconds: tuple[float, ...] = (0.0, 600.0, 3600.0)
    hold_window: float = 3600.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a point thinks of a node, as of `at`."""

    alive: bool
    at: float


@dataclass(frozen=True, slots=True)
class Looks:
    """The last looks of one point at one node, the newest last; `alive` is None before it has an opinion."""

    recent: tuple[bool, ...] = ()
    alive: bool | None = None
    at: float = 0.0

    @property
    def opinion(self) -> Opinion | None:
        return None if self.alive is None else Opinion(self.alive, self.at)

    @property
    def is_suspicious(self) -> bool:
        """Whether another look soon would tell something: the last one was not as the opinion is."""
        return bool(self.recent) and self.recent[-1] is not (self.alive is not False)


def looked(looks: Looks, alive: bool, now: float, rules: VoteRules = VoteRules()) -> Looks:
    """With another look. The first success is believed at once: nothing speaks against it."""
    former = looks.recent if now - looks.at <= rules.pause_seconds else ()
    recent = (*former, alive)[-rules.down_of :]
    opinion = looks.alive
    if opinion is None and alive:
        opinion = True
    elif opinion is False:
        if _row(recent, alive=True) >= rules.up_row:
            opinion = True
    elif _row(recent, alive=False) >= rules.down_row or recent.count(False) >= rules.down_most:
        opinion = False
    if opinion is not looks.alive and looks.alive is not None:
        # What led to a change has been used: else the failures of before would end a return at once.
        recent = recent[-rules.down_row :] if opinion is False else recent[-rules.up_row :]
    return Looks(recent, opinion, now)


def _row(recent: tuple[bool, ...], *, alive: bool) -> int:
    """How many of the newest are all `alive`."""
    count = 0
    for one in reversed(recent):
        if one is not alive:
            break
        count += 1
    return count


def is_cut_off(looks: Collection[Looks]) -> bool:
    """Whether a point that looks at these nodes should rather doubt itself: it saw most of them fail."""
    failing = sum(bool(one.recent) and not one.recent[-1] for one in looks)
    return len(looks) > 1 and failing * 2 > len(looks)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is held of a node. `well_since` is since when a majority has seen it alive without a break,
    `returned` when it came back from being down (for its slow start), `returns` those within the window,
    `changes` counts how often this has changed."""

    is_down: bool = False
    well_since: float | None = None
    returned: float | None = None
    returns: tuple[float, ...] = ()
    changes: int = 0


def judged(
    verdict: Verdict, opinions: Iterable[Opinion], now: float, rules: VoteRules = VoteRules()
) -> Verdict:
    """With the opinions as they are now. Where none is fresh, or they are divided evenly, nothing changes."""
    fresh = [one.alive for one in opinions if now - one.at <= rules.fresh_seconds]
    alive = sum(fresh)
    if alive * 2 == len(fresh):
        return verdict
    if alive * 2 < len(fresh):
        if verdict.is_down:
            return verdict if verdict.well_since is None else replace(verdict, well_since=None)
        return replace(verdict, is_down=True, well_since=None, changes=verdict.changes + 1)
    since = now if verdict.well_since is None else verdict.well_since
    if not verdict.is_down:
        return verdict if verdict.well_since is not None else replace(verdict, well_since=since)
    returns = tuple(at for at in verdict.returns if now - at < rules.hold_window)
    if now - since < rules.hold_seconds[min(len(returns), len(rules.hold_seconds) - 1)]:
        return replace(verdict, well_since=since, returns=returns)
    returns = (*returns, now)[-len(rules.hold_seconds) :]
    return Verdict(False, since, now, returns, verdict.changes + 1)
