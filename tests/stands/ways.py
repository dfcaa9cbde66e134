"""The ways between clients and nodes: a link emulator before each node, for each client as long as the map
says."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from benchmarks.link import Distance, Link

T = TypeVar("T")
Point = tuple[float, float]
MS_AT_LEAST, MS_FOR_100_KM = 8.0, 1.5


def round_trip(one: Point, other: Point) -> float:
    """Seconds that light in fibre takes there and back between two points (degrees), with the usual detours
    and a last mile."""
    (north, east), (other_north, other_east) = ([math.radians(d) for d in point] for point in (one, other))
    cosine = math.sin(north) * math.sin(other_north)
    cosine += math.cos(north) * math.cos(other_north) * math.cos(east - other_east)
    km = 6371 * math.acos(max(-1.0, min(1.0, cosine)))
    return (MS_AT_LEAST + MS_FOR_100_KM * km / 100) / 1000


class Ways:
    """Links on a loop in a thread of their own, until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links: list[Link] = []

    def _done(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def lay(
        self, host: str, to: tuple[str, int], rtt: float, clients: Mapping[str, float]
    ) -> tuple[str, int]:
        """Where the server `to` is reached at `host` from now on: `rtt` seconds away, but from the `clients`,
        by their addresses."""
        distances = {address: Distance(rtt=seconds) for address, seconds in clients.items()}
        link = Link(to, Distance(rtt=rtt), (host, 0), distances)
        self._done(link.__aenter__())
        self._links.append(link)
        host, _, port = link.address.rpartition(":")
        return host, int(port)

    def close(self) -> None:
        for link in self._links:
            self._done(link.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
