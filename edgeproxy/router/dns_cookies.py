"""DNS cookies, RFC 7873, with the server's part as RFC 9018 has it, so that servers behind one address
(anycast) that share a secret take each other's.

    client cookie (8)
    version 1 (1)  reserved (3)  seconds (4)  SipHash-2-4 of all before and the client's address (8)"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from struct import Struct

from edgeproxy.router.dns_siphash import siphash24

SECRET_BYTES = 16
CLIENT_BYTES, WHOLE_BYTES = 8, 24
OLD_SECONDS, AHEAD_SECONDS, RENEW_SECONDS = 3600, 300, 1800  # RFC 9018 section 4.3
KEPT_MAX = 16384

_PLAIN = Struct("!B3xI")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Cookies are made with the first and taken with any (RFC 9018 section 5)."""

    secrets: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not self.secrets or any(len(secret) != SECRET_BYTES for secret in self.secrets):
            raise ValueError(f"a secret for cookies has {SECRET_BYTES} bytes")

    def rolled(self, secret: bytes) -> Secrets:
        """With a new secret in front; of the old ones the newest is still taken."""
        return Secrets((secret, self.secrets[0]))

    def make(self, client: bytes, address: bytes, now: int) -> bytes:
        """The whole cookie of who sent `client` from `address` (packed)."""
        start = client + _PLAIN.pack(1, now & 0xFFFFFFFF)
        return start + siphash24(self.secrets[0], start + address)

    def is_ours(self, cookie: bytes, address: bytes, now: int) -> bool:
        """Whether we made it, for this address, and not too long ago."""
        if len(cookie) != WHOLE_BYTES or cookie[8] != 1:
            return False
        age = _age(cookie, now)
        if not -AHEAD_SECONDS <= age <= OLD_SECONDS:
            return False
        start, told = cookie[:16], cookie[16:]
        return any(hmac.compare_digest(siphash24(one, start + address), told) for one in self.secrets)


def _age(cookie: bytes, now: int) -> int:
    """Seconds, in the serial number arithmetic of RFC 1982."""
    difference = (now - int.from_bytes(cookie[12:16], "big")) & 0xFFFFFFFF
    return difference - (1 << 32) if difference >> 31 else difference


class CookieJar:
    """Remembers which cookies were found to be ours: hashing in Python costs as much as the rest of an
    answer."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._good: dict[tuple[bytes, bytes], None] = {}

    def roll(self, secret: bytes) -> None:
        self._secrets = self._secrets.rolled(secret)
        self._good.clear()

    def reply(self, cookie: bytes, address: bytes, now: int) -> tuple[bool, bytes]:
        """Whether the client has shown that it can hear us at `address`, and the cookie to give it."""
        key = cookie, address
        if key in self._good and _age(cookie, now) <= RENEW_SECONDS:
            return True, cookie
        if self._secrets.is_ours(cookie, address, now):
            if len(self._good) >= KEPT_MAX:
                self._good.clear()
            if _age(cookie, now) <= RENEW_SECONDS:
                self._good[key] = None
                return True, cookie
            return True, self._secrets.make(cookie[:CLIENT_BYTES], address, now)
        return False, self._secrets.make(cookie[:CLIENT_BYTES], address, now)
