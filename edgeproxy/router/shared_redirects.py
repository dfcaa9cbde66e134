"""Redirects that all clients of a kind get for a file, as long as there is no other map."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from edgeproxy.message import Response
from edgeproxy.router.decide import Decision
from edgeproxy.router.file_facts import FileFacts

SHARED_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Shared:
    """A redirect, what it rests on, and the facts it tells."""

    facts: FileFacts
    decision: Decision
    response: Response


class SharedRedirects:
    """By kind of client (None: of this one alone, which is not kept) and target. Bounded: when it is full it
    begins anew."""

    def __init__(self, entries_max: int = SHARED_MAX) -> None:
        self._entries_max = entries_max
        self._held: dict[tuple[Hashable, str], Shared] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, kind: Hashable | None, target: str, facts: FileFacts) -> Shared | None:
        """None if there is none that tells these very facts."""
        held = self._held.get((kind, target)) if kind is not None else None
        return held if held is not None and held.facts is facts else None

    def put(self, kind: Hashable | None, target: str, shared: Shared) -> None:
        """What says that the map is old tells its age, and is not kept."""
        if kind is None or shared.decision.is_old:
            return
        if len(self._held) >= self._entries_max:
            self._held.clear()
        self._held[kind, target] = shared

    def clear(self) -> None:
        self._held.clear()
