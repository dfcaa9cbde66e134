"""A wire server on a host of the loopback network that is named."""

from __future__ import annotations

from stands.wire import Answer, WireServer


class HostServer(WireServer):
    """Like its parent; the hosts of a hub must be told apart by address, not by port alone."""

    def __init__(self, answer: Answer, host: str) -> None:
        self.statuses: dict[int, int] = {}  # of answers, by the identity of their exchange
        self.public = ""  # the URL it is known by, where something stands in front of it
        super().__init__(answer, host)

    @property
    def url(self) -> str:
        return self.public or super().url
