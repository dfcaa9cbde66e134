"""Takes round trips as they are told, and learns from them a little at a time.

A report of a busy node holds two thousand prefixes and each takes some 50 us, so they wait in a queue, of
which a slice is taken at each turn of the loop; where more come than can be taken the oldest are dropped,
since any sample of the truth will do. Making beliefs of all that was observed takes a microsecond for each
observation: in a thread, while nothing is learned."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from edgeproxy.message import Clock
from edgeproxy.router.announcement import RoundTrip
from edgeproxy.router.beliefs import CELL, Beliefs
from edgeproxy.router.client import Geography, identify
from edgeproxy.router.learner import Learner
from edgeproxy.router.place import Place
from edgeproxy.router.samples import client_in_cell, is_possible, network_of

WAITING_MAX = 20_000
SLICE_SECONDS = 0.004
CONNECTIONS_MAX = 50  # that one report of a prefix may stand for: no reporter outweighs all others


class _Waiting(NamedTuple):
    """`prefix` of clients of `node`, or the `place` of another node that measured the way to it."""

    node: str
    rtt: float
    connections: int = 1
    prefix: str = ""
    place: Place | None = None


class Learning:
    """`places` are those of the nodes. One owner."""

    def __init__(
        self,
        learner: Learner,
        geography: Geography,
        *,
        places: Callable[[], Mapping[str, Place | None]],
        clock: Clock,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._learner = learner
        self._geography = geography
        self._places = places
        self._clock = clock
        self._waiting: deque[_Waiting] = deque(maxlen=waiting_max)
        self._has_news = False
        self.learned = 0
        self.beliefs = Beliefs()
        self.believed_at = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def clients(self, node: str, told: Iterable[RoundTrip]) -> None:
        """What `node` measured of its clients."""
        self._waiting.extend(
            _Waiting(node, one.rtt, min(one.connections, CONNECTIONS_MAX), one.prefix) for one in told
        )

    def between(self, one: str, other: str, rtt: float) -> None:
        """The way between two nodes: what clients near either may expect of the other."""
        places = self._places()
        for here, there in ((one, other), (other, one)):
            if places.get(here) is not None:
                self._waiting.append(_Waiting(there, rtt, place=places[here]))

    def take(self, seconds: float = SLICE_SECONDS) -> bool:
        """Learn for so long; whether there was anything."""
        if not self._waiting:
            return False
        end = time.monotonic() + seconds
        while self._waiting:
            self._learn(self._waiting.popleft())
            if time.monotonic() >= end:
                break
        return True

    def _learn(self, told: _Waiting) -> None:
        places = self._places()
        if told.node not in places:
            return
        place = places[told.node]
        if told.place is not None:
            client, finest = client_in_cell(told.place), CELL
        else:
            address, bits = network_of(told.prefix)
            if address is None:
                return
            client, finest = identify(address, self._geography, bits=bits), 0
            if client.is_private:
                return
        if is_possible(client.place, place, told.rtt):
            self._learner.told(
                client, told.node, place, told.rtt, self._clock(), connections=told.connections, finest=finest
            )
            self._has_news = True
            self.learned += 1

    async def believe(self) -> None:
        """Make beliefs of what was observed, if there is anything new."""
        if self._has_news:
            self._has_news = False
            self.beliefs = await asyncio.to_thread(self._learner.beliefs)
        self.believed_at = self._clock()
