"""A TCP connection to where a client of the proxy wants to go: names resolved, addresses judged, the first
that answers taken (RFC 8305)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.proxy.loops import Loops
from edgeproxy.proxy.onward import ask_proxy
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.address_guard import Address, permitted
from edgeproxy.upstream.egress import Egress

ATTEMPT_SECONDS = 0.25  # RFC 8305 section 5: until the next address is tried beside this one
ADDRESSES_MAX = 6
JUDGE_SECONDS = 1.0  # for a name of which this network may know nothing

Resolve = Callable[[str], Awaitable[Sequence[Address]]]


@dataclass(frozen=True, slots=True)
class Dialing:
    """`connect_seconds` for all attempts together. `private` lets clients go to addresses not public.
    `loops` knows the addresses of this node: a proxy that asks itself asks for ever. `egress` is the way out
    of this network."""

    resolve: Resolve
    connect_seconds: float
    private: bool = False
    loops: Loops = field(default_factory=Loops)
    egress: Egress = Egress()
    tasks: Tasks = field(default_factory=lambda: Tasks(lambda _name, _error: None))  # errors are read below

    async def dial(self, host: str, port: int) -> socket.socket:
        """A connected socket that does not block. Raises UpstreamError that says what is wrong."""
        proxy = self.egress.to("https", host, port)
        if proxy is None:
            return await self._reach(host, port, await self._permitted(host))
        await self._judge(host)
        addresses = permitted(proxy.host, await self.resolve(proxy.host), private=True)
        return await self._reach(
            proxy.host, proxy.port, addresses, lambda to: ask_proxy(to, proxy, host, port)
        )

    async def _judge(self, host: str) -> None:
        """Where a name leads is the proxy's to know. One that leads to a private address here is refused all
        the same, and one that this network does not resolve soon is left to the proxy."""
        try:
            async with asyncio.timeout(JUDGE_SECONDS):
                await self._permitted(host)
        except TimeoutError:
            return
        except UpstreamError as error:
            is_address = ":" in host or host.rstrip(".")[-1:].isdigit()
            if is_address or error.error is ProxyError.DESTINATION_IP_PROHIBITED:
                raise

    async def _permitted(self, host: str) -> tuple[Address, ...]:
        found = await self.resolve(host)
        try:
            return permitted(host, found, private=self.private)
        except UpstreamError as error:
            line = f"{error}, and clients may not go there (proxy.private_addresses)"
            raise UpstreamError(error.error, line, sent=False) from None

    async def _reach(
        self,
        host: str,
        port: int,
        addresses: Sequence[Address],
        then: Callable[[socket.socket], Awaitable[None]] | None = None,
    ) -> socket.socket:
        """Connected to one of the addresses, with whom `then` has come to an understanding."""
        chosen = _in_turn(addresses)[:ADDRESSES_MAX]
        if any(self.loops.leads_here(address, port) for address in chosen):
            raise UpstreamError(ProxyError.PROXY_LOOP_DETECTED, f"{host}:{port} is this proxy", sent=False)
        try:
            async with asyncio.timeout(self.connect_seconds):
                connected = await self._first(host, port, chosen)
                if then is not None:
                    try:
                        await then(connected)
                    except BaseException:
                        connected.close()
                        raise
                return connected
        except TimeoutError:
            message = f"{host}:{port} does not answer within {self.connect_seconds:g} s"
            raise UpstreamError(ProxyError.CONNECTION_TIMEOUT, message, sent=False) from None

    async def _first(self, host: str, port: int, addresses: Sequence[Address]) -> socket.socket:
        running: set[asyncio.Task[socket.socket]] = set()
        why: OSError | None = None
        left = iter(addresses)
        try:
            while True:
                address = next(left, None)
                if address is not None:
                    running.add(self.tasks.start(_connect(address, port, self.loops), f"dial {host}"))
                elif not running:
                    raise _failed(host, port, why)
                wait = None if address is None else ATTEMPT_SECONDS
                await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    error = task.exception()
                    if error is None:
                        running.discard(task)
                        return task.result()
                    running.discard(task)
                    if not isinstance(error, OSError):
                        raise error
                    why = error
        finally:
            await _give_up(running)

    async def aclose(self) -> None:
        await self.tasks.aclose()


async def _give_up(running: set[asyncio.Task[socket.socket]]) -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in running:
        if not task.cancelled() and task.exception() is None:
            task.result().close()


async def _connect(address: Address, port: int, loops: Loops) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    connected = socket.socket(family, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            connected.connect((str(address), port))
        loops.made(connected)
        await _writable(connected)
        number = connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
    except BaseException:
        connected.close()
        raise
    return connected


async def _writable(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.add_writer(connected.fileno(), lambda: None if waiter.done() else waiter.set_result(None))
    try:
        await waiter
    finally:
        loop.remove_writer(connected.fileno())


def _in_turn(addresses: Sequence[Address]) -> list[Address]:
    """IPv6 and IPv4 by turns, IPv6 first (RFC 8305 section 4)."""
    six = [address for address in addresses if address.version == 6]
    four = [address for address in addresses if address.version == 4]
    pairs = itertools.zip_longest(six, four)
    return [address for pair in pairs for address in pair if address is not None]


def _failed(host: str, port: int, why: OSError | None) -> UpstreamError:
    error = ProxyError.CONNECTION_REFUSED
    if not isinstance(why, ConnectionRefusedError):
        error = ProxyError.DESTINATION_IP_UNROUTABLE
    detail = "nobody answers" if why is None else (why.strerror or str(why))
    return UpstreamError(error, f"{host}:{port}: {detail}", sent=False)
