"""Whom we have sent where: redirects to be given again, and what it means if somebody asks again.

A client that fails at a node asks once more, and that says something. But many clients behind one address
ask once more as well, and parts of a file are asked for one by one: these say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgeproxy.message import Response
from edgeproxy.router.crowding import crowded_out

AT_ONCE_SECONDS = 0.5  # nobody has tried and failed so soon
AGAIN_SECONDS = 5.0  # a redirect is given again for so long, if there is no other map


class Again(Enum):
    """What is to be done for who asks for something again."""

    REPEAT = "repeat"
    DECIDE = "decide"
    COMPLAINT = "complaint"  # it was sent to a node that did not serve it


@dataclass(slots=True)
class Sent:
    """A redirect. `at` is when it was given first (wall-clock seconds), `asks` how often. `is_settled`: to
    ask again is no complaint any more."""

    response: Response
    node: str
    country: str
    at: float
    generation: int
    asks: int = 1
    is_settled: bool = False
    repeatable: Response | None = None  # the same, to be repeated without asking us


Key = tuple[str, str]


class SentTable:
    """By client and target. At most `entries_max`; the longest there leave first."""

    def __init__(self, entries_max: int, complaint_seconds: float) -> None:
        self._entries_max = entries_max
        self._complaint_seconds = complaint_seconds
        self._sent: dict[Key, Sent] = {}
        self.generation = 0  # counts maps: what was decided with a former one is decided again

    def __len__(self) -> int:
        return len(self._sent)

    def get(self, key: Key) -> Sent | None:
        return self._sent.get(key)

    def put(self, key: Key, sent: Sent) -> None:
        if not self._entries_max:
            return
        self._sent.pop(key, None)
        self._sent[key] = sent
        crowded_out(self._sent, self._entries_max)

    def again(self, sent: Sent, now: float, *, is_part: bool) -> Again:
        """Somebody asks for it again; `is_part`: for a part of it."""
        passed = now - sent.at
        if not is_part:
            sent.asks += 1
            is_alone = sent.asks == 2 and not sent.is_settled
            if is_alone and AT_ONCE_SECONDS <= passed <= self._complaint_seconds:
                return Again.COMPLAINT
        if passed < AGAIN_SECONDS and sent.generation == self.generation:
            return Again.REPEAT
        return Again.DECIDE
