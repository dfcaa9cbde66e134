"""The one client to parents and origins: libcurl, driven by the event loop through its multi
interface, with handles and connections kept for the next request."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import pycurl

from edgeproxy.config import UpstreamSection
from edgeproxy.errors import EdgeError, ProxyError, UpstreamError
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.address_guard import Address, permitted, permitted_by_proxy
from edgeproxy.upstream.connections import Connections
from edgeproxy.upstream.easy import Easy, check
from edgeproxy.upstream.egress import Egress, EgressProxy
from edgeproxy.upstream.response_head import HeadReader
from edgeproxy.upstream.transfer import Transfer
from edgeproxy.upstream.trust import ca_bundle
from edgeproxy.upstream.upload import Upload
from edgeproxy.upstream.upstream import Identity, UpstreamRequest, UpstreamResponse

_IDLE_HANDLES_MAX = 128
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class Resolves(Protocol):
    """Names to addresses. Raises UpstreamError(DNS_ERROR, DNS_TIMEOUT, DESTINATION_NOT_FOUND, sent=False)."""

    async def resolve(self, host: str) -> tuple[Address, ...]: ...


class CurlUpstream:
    """Implements Upstream over HTTP/1.1, and over HTTP/2 where TLS negotiates it or it is known to be spoken.
    One for `bulk` gives each exchange a connection of its own and prefers HTTP/1.1, which moves three times
    the bytes for the same work."""

    def __init__(
        self,
        settings: UpstreamSection,
        resolver: Resolves,
        *,
        metrics: Metrics,
        bulk: bool = False,
        egress: Egress = Egress(),  # noqa: B008 - a value
    ) -> None:
        self._settings = settings
        self._egress = egress
        self._bulk = bulk
        self._resolver = resolver
        self._ca_file = ca_bundle(settings.ca_file)
        # Identities come from configuration: there are few.
        self._idle: dict[tuple[Identity, bool], deque[Easy]] = {}
        self._running: set[Transfer] = set()
        self._quiet = asyncio.Event()
        self._connections = Connections()
        self._tasks = Tasks(lambda _name, _error: metrics.count("task_errors_total"))
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, settings.connections)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, settings.connections_per_host)
        self._multi.setopt(pycurl.M_MAXCONNECTS, settings.connections)
        if bulk:
            self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, 1)

    def __repr__(self) -> str:
        idle = sum(map(len, self._idle.values()))
        return f"<CurlUpstream running={len(self._running)} idle handles={idle}>"

    @property
    def running(self) -> int:
        """Transfers in flight."""
        return len(self._running)

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        """Raises UpstreamError; what reading `request.body` raises passes through."""
        if self._multi.closed:
            raise UpstreamError(ProxyError.PROXY_INTERNAL_ERROR, "closing", sent=False)
        check(request)
        proxy = self._egress.to(*request.origin.place)
        addresses = await self._addresses(request, proxy)
        sends = 2 if request.retry and request.body is None and request.method in _IDEMPOTENT else 1
        transfer = self._start(request, proxy, addresses, sends=sends, fresh=False)
        try:
            await self._head(transfer)
        except UpstreamError:
            unsent = transfer.found_noise and transfer.sends == 0 and request.body is None
            if not unsent and not (transfer.nothing_came_back and 0 < transfer.sends < sends):
                raise
            # libcurl repeats only what fails on a reused connection; and never looks for noise first.
            transfer = self._start(request, proxy, addresses, sends=1, fresh=True)
            await self._head(transfer)
        return transfer

    async def _addresses(self, request: UpstreamRequest, proxy: EgressProxy | None) -> tuple[Address, ...]:
        """Where a connection may lead. Through a proxy it leads there, and where a name leads is the proxy's
        to know: networks that have one often know no names of others."""
        host, private = request.origin.host, request.reach.private_addresses
        if proxy is None:
            return permitted(host, await self._resolver.resolve(host), private=private)
        permitted_by_proxy(host, private=private)
        return permitted(proxy.host, await self._resolver.resolve(proxy.host), private=True)

    async def _head(self, transfer: Transfer) -> None:
        try:
            await transfer.wait_for_head()
        except BaseException:
            transfer.abandon()
            raise

    def _start(
        self,
        request: UpstreamRequest,
        proxy: EgressProxy | None,
        addresses: tuple[Address, ...],
        *,
        sends: int,
        fresh: bool,
    ) -> Transfer:
        settings, reach = self._settings, request.reach
        through = proxy is not None
        idle = self._idle.setdefault((reach.identity, through), deque())
        is_kept = bool(idle) and request.body is None
        easy = idle.pop() if is_kept else Easy(reach.identity, through_proxy=through)
        reader = HeadReader(
            request.method,
            bytes_max=settings.head,
            fields_max=settings.fields,
            interim=request.interim,
        )
        transfer = Transfer(easy, reader, reach, addresses, self._connections, sends=sends)
        try:
            easy.prepare(
                request,
                proxy,
                addresses,
                ca_file=reach.ca_file or self._ca_file,
                version=self._version(request),
                fresh=fresh,
            )
            if request.body is not None:
                self._send_body(transfer, Upload(request.body))
            transfer.start(self._multi, self._released)
        except pycurl.error as error:
            easy.curl.close()
            if transfer.pump is not None:
                transfer.pump.cancel()
            message = f"libcurl refused the request: {error}"
            raise UpstreamError(ProxyError.PROXY_INTERNAL_ERROR, message, sent=False) from error
        self._running.add(transfer)
        self._quiet.clear()
        return transfer

    def _version(self, request: UpstreamRequest) -> int:
        if request.reach.prior_knowledge:
            return int(pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
        if request.reach.http2 and request.origin.scheme == "https" and not self._bulk:
            return int(pycurl.CURL_HTTP_VERSION_2TLS)
        return int(pycurl.CURL_HTTP_VERSION_1_1)

    def _send_body(self, transfer: Transfer, upload: Upload) -> None:
        transfer.easy.prepare_upload(upload.length)
        transfer.upload = upload
        upload.resume = transfer.resume_upload
        transfer.pump = self._tasks.start(self._pump(transfer, upload), "upstream-upload")

    async def _pump(self, transfer: Transfer, upload: Upload) -> None:
        try:
            await upload.pump()
        except EdgeError as error:
            transfer.fail(error)

    def _released(self, transfer: Transfer) -> None:
        self._running.discard(transfer)
        if not self._running:
            self._quiet.set()
        if transfer.pump is not None:
            transfer.pump.cancel()
        idle = self._idle[transfer.easy.identity, transfer.easy.through_proxy]
        if transfer.upload is None and len(idle) < _IDLE_HANDLES_MAX and not self._multi.closed:
            idle.append(transfer.easy)
        else:
            transfer.easy.curl.close()

    async def aclose(self) -> None:
        """End every transfer and connection. Whoever still reads gets an UpstreamError."""
        error = UpstreamError(ProxyError.CONNECTION_TERMINATED, "the node is closing")
        running = list(self._running)
        for transfer in running:
            transfer.fail(error)
        if self._running:  # handles come back in the next turns of the loop
            await self._quiet.wait()
        await self._tasks.aclose()
        await self._multi.aclose()
        while self._idle:
            _, idle = self._idle.popitem()
            for easy in idle:
                easy.curl.close()
