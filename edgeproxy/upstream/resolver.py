"""Names to addresses: name_servers.py asks, a bounded table remembers, one question at a time for a name.

An answer is used for its TTL (never longer than dns_ttl_max). When the servers fail, an expired answer
is used for up to dns_stale more; a denial (no such name) is an answer and replaces what was known."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cachetools import LRUCache

from edgeproxy.config import UpstreamSection
from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.address_guard import Address, literal
from edgeproxy.upstream.hosts_file import fixed, read_hosts
from edgeproxy.upstream.name_answer import ADDRESSES_MAX, DENIED_SECONDS, TTL_MIN, Answer

if TYPE_CHECKING:
    from edgeproxy.upstream.name_servers import NameServers

_NAMES_MAX = 4096
_HOSTS_SECONDS = 30.0


class Resolver:
    """`resolve` is what the client uses; `aclose` ends running questions. `timer` counts seconds that
    are never set back. `servers`, `hosts_path` and `resolv_conf` are for machines and tests that differ."""

    def __init__(
        self,
        settings: UpstreamSection,
        *,
        timer: Clock = time.monotonic,
        hosts_path: Path = Path("/etc/hosts"),
        resolv_conf: Path = Path("/etc/resolv.conf"),
    ) -> None:
        self._settings = settings
        self._timer = timer
        self._hosts_path = hosts_path
        self._hosts = read_hosts(hosts_path)
        self._hosts_read_at = timer()
        self._resolv_conf = resolv_conf
        self._servers: NameServers | None = None
        self._known: LRUCache[str, Answer] = LRUCache(_NAMES_MAX)
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._tasks = Tasks(lambda _name, _error: None)  # `_ask` turns trouble into answers

    async def resolve(self, host: str) -> tuple[Address, ...]:
        """Addresses of a host, literal or name, never none. Raises UpstreamError(DNS_ERROR, DNS_TIMEOUT or
        DESTINATION_NOT_FOUND), nothing having been sent."""
        host = host.lower().removesuffix(".")
        try:
            address = literal(host)
        except ValueError as error:
            raise UpstreamError(ProxyError.DESTINATION_NOT_FOUND, str(error), sent=False) from None
        if address is not None:
            return (address,)
        addresses = fixed(host, self._hosts)
        if addresses is not None:
            return addresses
        answer = self._known.get(host)
        if answer is None or self._timer() >= answer.expires_at:
            task = self._asking.get(host)
            if task is None:
                task = self._asking[host] = self._tasks.start(self._refresh(host), f"resolve {host}")
            answer = await asyncio.shield(task)
        if answer.error is not None:
            raise UpstreamError(answer.error, answer.message, sent=False)
        return answer.addresses

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _refresh(self, host: str) -> Answer:
        try:
            answer = await self._ask_with_hosts(host)
            old = self._known.get(host)
            now = self._timer()
            failed = answer.error in (ProxyError.DNS_TIMEOUT, ProxyError.DNS_ERROR)
            if failed and old is not None and old.error is None and now < old.stale_until:
                answer = replace(old, expires_at=now + DENIED_SECONDS)
            self._known[host] = answer
            return answer
        finally:
            del self._asking[host]

    async def _ask_with_hosts(self, host: str) -> Answer:
        if self._timer() - self._hosts_read_at >= _HOSTS_SECONDS:
            self._hosts_read_at = self._timer()
            self._hosts = await asyncio.to_thread(read_hosts, self._hosts_path)
            addresses = fixed(host, self._hosts)
            if addresses is not None:
                return Answer(addresses, self._timer() + TTL_MIN)
        return await self._ask(host)

    async def _ask(self, host: str) -> Answer:
        """A and AAAA together. One family's failure does not hide the other's addresses."""
        servers = self._servers
        if servers is None:
            servers = self._servers = await asyncio.to_thread(self._load)
        results = await asyncio.gather(servers.ask(host, "AAAA"), servers.ask(host, "A"))
        now = self._timer()
        addresses = tuple(address for result in results for address in result.addresses)
        if addresses:
            until = now + min(result.expires_at for result in results if result.addresses)
            return Answer(addresses[: 2 * ADDRESSES_MAX], until, until + self._settings.dns_stale)
        worst = next((r for r in results if r.error is not ProxyError.DESTINATION_NOT_FOUND), results[0])
        return replace(worst, expires_at=now + worst.expires_at)

    def _load(self) -> NameServers:
        from edgeproxy.upstream.name_servers import NameServers  # needed for names only

        return NameServers(self._settings, self._resolv_conf)
