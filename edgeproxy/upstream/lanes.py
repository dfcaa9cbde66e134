"""Two clients as one: bulk never shares a connection with small requests, which one lost packet would hold
up all together."""

from __future__ import annotations

from edgeproxy.upstream.upstream import Upstream, UpstreamRequest, UpstreamResponse


class Lanes:
    """Implements Upstream: `small` multiplexes, `bulk` gives each exchange its own connection."""

    def __init__(self, small: Upstream, bulk: Upstream) -> None:
        self._small = small
        self._bulk = bulk

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        return await (self._bulk if request.bulk else self._small).fetch(request)

    @property
    def running(self) -> int:
        """Exchanges in flight, as far as can be told."""
        return sum(int(getattr(lane, "running", 0)) for lane in (self._small, self._bulk))

    async def aclose(self) -> None:
        await self._small.aclose()
        await self._bulk.aclose()
