"""Clients that refuse the local authority for a host: they are given a tunnel the next time."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import LRUCache

PAIRS_MAX = 4096
HOSTS_MAX = 256
MEMORY_SECONDS = 3600.0


@dataclass(slots=True)
class Refused:
    """How often clients have refused the certificate of a host, and when last (wall-clock seconds)."""

    count: int
    last: float
    client: str


class Refusers:
    """Bounded tables: by client and host until when, and by host for people."""

    def __init__(self) -> None:
        self._until: LRUCache[tuple[str, str], float] = LRUCache(PAIRS_MAX)
        self._hosts: LRUCache[str, Refused] = LRUCache(HOSTS_MAX)

    def note(self, client: str, host: str, now: float) -> None:
        self._until[client, host] = now + MEMORY_SECONDS
        known = self._hosts.get(host)
        self._hosts[host] = Refused((known.count if known else 0) + 1, now, client)

    def refuses(self, client: str, host: str, now: float) -> bool:
        return now < self._until.get((client, host), 0.0)

    @property
    def hosts(self) -> dict[str, Refused]:
        """For status: the hosts whose certificates clients refuse."""
        return dict(self._hosts)
