"""A wire server on a host of the loopback network that is named."""

from __future__ import annotations

import asyncio

from stands.wire import Answer, WireServer


class HostServer(WireServer):
    """Like its parent; the hosts of a hub must be told apart by address, not by port alone."""

    def __init__(self, answer: Answer, host: str) -> None:
        self.host = host
        self.public = ""  # the URL it is known by, where something stands in front of it
        self.statuses: dict[int, int] = {}  # of answers, by the identity of their exchange
        super().__init__(answer)

    @property
    def url(self) -> str:
        return self.public or f"http://{self.host}:{self.port}"

    async def _open(self) -> None:
        if self._server is not None:
            return
        self._server = await asyncio.start_server(
            self._accepted, self.host, self.port, limit=1 << 20, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]
