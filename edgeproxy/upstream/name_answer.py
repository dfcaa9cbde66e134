"""What is known of a name."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.errors import ProxyError
from edgeproxy.upstream.address_guard import Address

ADDRESSES_MAX = 16
TTL_MIN = 1.0
DENIED_SECONDS = 5.0
FAILED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name, as of monotonic seconds: addresses, or why there are none. As a name server
    tells it, `expires_at` is counted from now."""

    addresses: tuple[Address, ...]
    expires_at: float
    stale_until: float = 0.0
    error: ProxyError | None = None
    message: str = ""
