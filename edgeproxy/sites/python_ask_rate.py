"""How many unknown projects one client may ask for: a token bucket for each client.

A guessed name costs the index a request, and no negative answer can be kept for all of them."""

from __future__ import annotations

from collections import OrderedDict

CLIENTS_MAX = 10_000
BURST_SECONDS = 4.0  # a resolver asks for all names of a lock file at once


class AskRate:
    """Lives on the event loop. `rate` in names per second; 0 for no limit."""

    def __init__(self, rate: float, clients_max: int = CLIENTS_MAX) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._clients_max = clients_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, at what time

    def wait(self, client: str, now: float) -> float:
        """Takes a token at `now` (seconds): 0.0 if there was one, else in how many seconds there is."""
        if self._rate <= 0:
            return 0.0
        tokens, at = self._buckets.get(client, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[client] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(client)
        while len(self._buckets) > self._clients_max:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._rate
