"""The DNS router: authoritative for its zones, with a map of answers that follows the nodes."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from edgeproxy.address import Address, parse_address
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.router.dns_answers import DnsAnswers
from edgeproxy.router.dns_compile import Compiled, MapRules, Steadiness, compiling
from edgeproxy.router.dns_cookies import SECRET_BYTES, CookieJar, Secrets
from edgeproxy.router.dns_limit import ResponseLimit
from edgeproxy.router.dns_settings import DnsSettings
from edgeproxy.router.dns_tcp import TcpListener, bind_tcp
from edgeproxy.router.dns_territory import Territory
from edgeproxy.router.dns_udp import Report, UdpListener, bind_udp
from edgeproxy.router.dns_zone_text import read_zones
from edgeproxy.router.routing import Routing
from edgeproxy.tasks import Tasks

SETTLE_SECONDS = 0.2  # between two maps at least: changes come in bursts
STEPS_SECONDS = 0.002  # that a map takes of the loop at once
PORT_ATTEMPTS = 64


class DnsRouter:
    """`steady` tells how many seconds the health of a node cannot change; without it that is guessed from the
    node's state. The constructor raises `dns_zone_text.UnusableZone`."""

    def __init__(
        self,
        settings: DnsSettings,
        routing: Routing,
        territory: Territory,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Report,
        steady: Steadiness | None = None,
    ) -> None:
        self._settings, self._routing, self._territory = settings, routing, territory
        self._tasks, self._metrics, self._clock, self._report = tasks, metrics, clock, report
        self._steady = steady
        self._rules = _rules(settings, steady)
        self._jar = CookieJar(_secrets(settings))
        self._answers = self._made(settings)
        self._compiled = Compiled()
        self._udp: list[UdpListener] = []
        self._tcp: list[TcpListener] = []
        self._changed = asyncio.Event()
        self._work: list[asyncio.Task[None]] = []
        self.listened: tuple[str, ...] = ()

    async def start(self) -> None:
        """Listen, with a map. Raises OSError where an address cannot be had."""
        sockets = list(self._bound(self._settings))
        try:
            await self._compile()
        except BaseException:
            for udp, tcp in sockets:
                udp.close()
                tcp.close()
            raise
        for udp, tcp in sockets:
            listener = TcpListener(self._settings.tcp, self.answer, self._report)
            self._tcp.append(listener)
            await listener.start(tcp)
            self._udp.append(UdpListener(udp, self.answer, self._report, self._dropped))
        self._routing.watch(self._changed.set)
        self._metrics.gauge("dns_map_seconds", lambda: self._clock() - self._answers.map.made_at)
        self._work.append(self._tasks.start(self._keep_map(), "dns map"))
        if not self._settings.cookie_secret:
            self._work.append(self._tasks.start(self._keep_secret(), "dns cookie secret"))

    async def aclose(self) -> None:
        """Stop at once: every answer that was begun has been sent."""
        for task in self._work:
            task.cancel()
        for udp in self._udp:
            udp.close()
        for tcp in self._tcp:
            await tcp.aclose()
        self._udp, self._tcp, self._work = [], [], []

    def answer(self, data: bytes, host: str, transport: str) -> bytes | None:
        """The answer to a query from `host` over "udp" or "tcp", None if there is none."""
        return self._answers.answer(data, host, transport)

    def use(self, settings: DnsSettings) -> None:
        """Other zones and limits from now on; what it listens at stays. Raises UnusableZone, and keeps what
        it had then."""
        answers = self._made(settings)
        answers.map = self._answers.map
        self._answers, self._settings, self._rules = answers, settings, _rules(settings, self._steady)
        self._changed.set()

    def _made(self, settings: DnsSettings) -> DnsAnswers:
        limit = ResponseLimit(settings.limit, self._clock())
        zones = read_zones(settings.zones)
        return DnsAnswers(settings, zones, self._jar, limit, self._metrics, self._clock)

    def _dropped(self) -> None:
        self._metrics.count("dns_unsent_total")

    def _bound(self, settings: DnsSettings) -> Iterable[tuple[socket.socket, socket.socket]]:
        done: list[tuple[socket.socket, socket.socket]] = []
        try:
            for address in [parse_address(text) for text in settings.listen]:
                done.append(_bound_pair(address, settings))  # noqa: PERF401 - those before a failure are closed
        except OSError:
            for udp, tcp in done:
                udp.close()
                tcp.close()
            raise
        self.listened = tuple(str(Address(*udp.getsockname()[:2])) for udp, _ in done)
        return done

    async def _keep_map(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.map_seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._compile()
            except Exception as error:  # noqa: BLE001 - the outermost step: the old map is better than none
                self._metrics.count("dns_maps_total", "failed")
                self._report("dns map", error)
            await asyncio.sleep(SETTLE_SECONDS)

    async def _compile(self) -> None:
        """Make the next map between answers, a little at a time."""
        routing = self._routing
        steps = compiling(
            routing.snapshot,
            self._territory,
            lambda network: routing.client(network.network_address, bits=network.prefixlen),
            self._clock(),
            self._rules,
            self._compiled,
        )
        since = time.perf_counter()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                made: Compiled = end.value
                break
            if time.perf_counter() - since > STEPS_SECONDS:
                await asyncio.sleep(0)
                since = time.perf_counter()
        self._compiled, self._answers.map = made, made.map
        self._metrics.count("dns_maps_total", "made")
        for client, decision in made.decided:
            routing.decided(client, decision)

    async def _keep_secret(self) -> None:
        while True:
            await asyncio.sleep(self._settings.cookie_seconds)
            self._jar.roll(os.urandom(SECRET_BYTES))


def _rules(settings: DnsSettings, steady: Steadiness | None) -> MapRules:
    return MapRules(settings.addresses, settings.prefixes_max, settings.ttl_least, settings.ttl_most, steady)


def _secrets(settings: DnsSettings) -> Secrets:
    shared = settings.cookie_secret
    return Secrets((bytes.fromhex(shared) if shared else os.urandom(SECRET_BYTES),))


def _bound_pair(address: Address, settings: DnsSettings) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP at one port; where the kernel chooses it, one that is free for both."""
    attempts = PORT_ATTEMPTS if not address.port else 1
    while True:
        attempts -= 1
        udp = bind_udp(
            address.host,
            address.port,
            receive_bytes=settings.receive_bytes,
            reuse_port=settings.reuse_port,
        )
        try:
            return udp, bind_tcp(address.host, udp.getsockname()[1], reuse_port=settings.reuse_port)
        except OSError:
            udp.close()
            if not attempts:
                raise
