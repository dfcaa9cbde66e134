"""A client group stays at its node until another is clearly better, and seen to be so twice."""

from __future__ import annotations

from dataclasses import replace

from edgeproxy.router.choice import Candidate, Choice
from edgeproxy.router.snapshot import Kept, RouteRules


def settled(choice: Choice, kept: Kept | None, rules: RouteRules, now: float) -> tuple[Choice, Kept]:
    """The choice with the node the group is at in front, if it should stay; and what is to be remembered. A
    node that is no candidate any more, or overfull, is left at once."""
    first = choice.ranked[0]
    if kept is None or kept.node == first.name:
        return choice, Kept(first.name)
    old = next((one for one in choice.ranked if one.name == kept.node), None)
    if old is None or old.node.utilisation >= rules.overfull:
        return choice, Kept(first.name)
    if not _is_clearly_better(first, old, rules):
        return _staying(choice, old, "the group stays: no other is clearly better"), Kept(old.name)
    if kept.better == first.name:
        if now - kept.seen >= rules.keep_seconds:
            return choice, Kept(first.name)
        return _staying(choice, old, "the group stays until the gain has lasted"), kept
    return (
        _staying(choice, old, "the group stays until the gain has lasted"),
        replace(kept, better=first.name, seen=now),
    )


def _is_clearly_better(new: Candidate, old: Candidate, rules: RouteRules) -> bool:
    return new.cost.total <= rules.keep_share * old.cost.total - rules.keep_ms


def _staying(choice: Choice, old: Candidate, reason: str) -> Choice:
    return Choice((old, *(one for one in choice.ranked if one is not old)), reason)
