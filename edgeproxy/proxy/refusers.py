"""Clients that refuse the local authority for a host: they are given a tunnel the next time."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import LRUCache

from edgeproxy.proxy.until import SharedUntil

HOSTS_MAX = 256
MEMORY_SECONDS = 3600.0


@dataclass(slots=True)
class Refused:
    """How often clients have refused the certificate of a host, and when last (wall-clock seconds)."""

    count: int
    last: float
    client: str


class Refusers:
    """Bounded tables: by client and host until when, for all processes forked later (wherever a client
    comes back to, it is known), and by host for people, who ask each process."""

    def __init__(self) -> None:
        self._until = SharedUntil()
        self._hosts: LRUCache[str, Refused] = LRUCache(HOSTS_MAX)

    def note(self, client: str, host: str, now: float) -> None:
        self._until.note(f"{client} {host}", now + MEMORY_SECONDS)
        known = self._hosts.get(host)
        self._hosts[host] = Refused((known.count if known else 0) + 1, now, client)

    def refuses(self, client: str, host: str, now: float) -> bool:
        return now < self._until.until(f"{client} {host}")

    @property
    def hosts(self) -> dict[str, Refused]:
        """For status: the hosts whose certificates clients refuse."""
        return dict(self._hosts)
