"""Names to addresses: dnspython asks, a bounded table remembers, one question at a time for a name.

An answer is used for its TTL (never longer than dns_ttl_max). When the servers fail, an expired answer
is used for up to dns_stale more; a denial (no such name) is an answer and replaces what was known."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass, replace
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from cachetools import LRUCache

from edgeproxy.config import UpstreamSection
from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.address_guard import Address, literal
from edgeproxy.upstream.hosts_file import fixed, read_hosts

_NAMES_MAX = 4096
_ADDRESSES_MAX = 16
_TTL_MIN = 1.0
_DENIED_SECONDS = 5.0
_FAILED_SECONDS = 1.0
_HOSTS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name, as of monotonic seconds: addresses, or why there are none."""

    addresses: tuple[Address, ...]
    expires_at: float
    stale_until: float = 0.0
    error: ProxyError | None = None
    message: str = ""


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
        self._servers = _servers(settings, resolv_conf)
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
                answer = replace(old, expires_at=now + _DENIED_SECONDS)
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
                return Answer(addresses, self._timer() + _TTL_MIN)
        return await self._ask(host)

    async def _ask(self, host: str) -> Answer:
        """A and AAAA together. One family's failure does not hide the other's addresses."""
        results = await asyncio.gather(self._family(host, "AAAA"), self._family(host, "A"))
        now = self._timer()
        addresses = tuple(address for result in results for address in result.addresses)
        if addresses:
            until = now + min(result.expires_at for result in results if result.addresses)
            return Answer(addresses[: 2 * _ADDRESSES_MAX], until, until + self._settings.dns_stale)
        worst = next((r for r in results if r.error is not ProxyError.DESTINATION_NOT_FOUND), results[0])
        return replace(worst, expires_at=now + worst.expires_at)

    async def _family(self, host: str, kind: str) -> Answer:
        """One question; `expires_at` is still relative here."""
        if not self._servers.nameservers:
            return Answer((), _FAILED_SECONDS, error=ProxyError.DNS_ERROR, message=f"{host}: no name server")
        try:
            found = await self._servers.resolve(host, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            message = f"{host}: no such name"
            return Answer((), _DENIED_SECONDS, error=ProxyError.DESTINATION_NOT_FOUND, message=message)
        except dns.exception.Timeout:
            message = f"{host}: name servers do not answer"
            return Answer((), _FAILED_SECONDS, error=ProxyError.DNS_TIMEOUT, message=message)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            message = f"{host}: {type(error).__name__}"
            return Answer((), _FAILED_SECONDS, error=ProxyError.DNS_ERROR, message=message)
        assert found.rrset is not None
        ttl = min(max(_TTL_MIN, float(found.rrset.ttl)), self._settings.dns_ttl_max)
        addresses = sorted(ipaddress.ip_address(str(record.address)) for record in found)
        return Answer(tuple(addresses[:_ADDRESSES_MAX]), ttl)


def _servers(settings: UpstreamSection, resolv_conf: Path) -> dns.asyncresolver.Resolver:
    """Whom to ask. A missing or unreadable resolv.conf leaves nobody, which only matters for names."""
    servers = dns.asyncresolver.Resolver(configure=False)
    servers.use_search_by_default = True
    if settings.nameservers:
        servers.nameservers = [_nameserver(text) for text in settings.nameservers]
    else:
        try:
            servers.read_resolv_conf(str(resolv_conf))
        except (dns.exception.DNSException, OSError, ValueError):
            servers.nameservers = []
    servers.lifetime = max(0.1, settings.connect_timeout)
    servers.timeout = servers.lifetime / 2
    servers.cache = None
    return servers


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """`address`, `address:port` or `[v6]:port`."""
    host, port = text, "53"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host)), int(port))
