"""One line of a log of decisions: JSON, its fields defined here and nowhere else.

The fields `time`, `client`, `url`, `bytes`, `site` and `source` are those of the access log, so that the
access log of any node can be replayed as well: what it does not say (how the question came, and but for a
router's the node) has a default."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from ipaddress import ip_network
from urllib.parse import urlsplit

import msgspec

from edgeproxy.router.client import Address, parse
from edgeproxy.router.decide import Asking
from edgeproxy.router.redirects import SITE
from edgeproxy.router.snapshot import RouteObject

LINE_BYTES_MAX = 64 << 10
LARGE_BYTES = 1 << 20  # from here on a redirect pays
BETWEEN_OURSELVES = "/route/v1/"  # paths of announcements and probes


class UnusableLine(ValueError):
    """A line that is none of a log of decisions; the text says why, in one line."""


class LoggedDecision(msgspec.Struct, frozen=True, omit_defaults=True):
    """`time` in seconds of the wall clock, or as RFC 3339 says. `client`: an address, or a prefix where no
    more is told or logged; "" for nobody known. `node` was chosen, "" if that is not logged; `key` is what
    was asked for, else the path of `url`; neither: a question of DNS. `rtt_ms` is what was measured
    afterwards."""

    time: float | str
    client: str
    node: str = ""
    policy: str = ""
    key: str = ""
    url: str = ""
    bytes: int = 0
    is_large: bool = False
    is_private: bool = False
    family: int = 0
    scheme: str = ""
    excluded: tuple[str, ...] = ()
    reason: str = ""
    rtt_ms: float | None = None
    site: str = ""
    source: str = ""

    @property
    def chosen(self) -> str:
        """The node that was chosen; a router's access log tells it as the source."""
        return self.node or (self.source if self.site == SITE else "")

    @property
    def is_question(self) -> bool:
        """Whether a client asked: what nodes and routers ask each other is logged as well."""
        return not self.url.startswith(BETWEEN_OURSELVES)

    @property
    def at(self) -> float:
        """Seconds of the wall clock. Raises UnusableLine."""
        return self.time if isinstance(self.time, float) else _seconds(self.time)

    @property
    def asked(self) -> RouteObject | None:
        key = self.key or urlsplit(self.url).path
        if not key:
            return None
        is_large = self.is_large or self.bytes >= LARGE_BYTES
        return RouteObject(key, is_large=is_large, is_private=self.is_private)

    @property
    def asking(self) -> Asking:
        """Without the chance to explore: what is replayed is the rule."""
        return Asking(self.family, self.scheme, frozenset(self.excluded))

    def address(self) -> tuple[Address | None, int | None]:
        """And the length of its prefix, None for a whole address. Raises UnusableLine."""
        if not self.client:
            return None, None
        whole = parse(self.client)
        if whole is not None:
            return whole, None
        try:
            network = ip_network(self.client, strict=False)
        except ValueError:
            raise UnusableLine(f"client {self.client[:80]!r} is neither an address nor a prefix") from None
        return network.network_address, network.prefixlen


def written(line: LoggedDecision) -> bytes:
    """With its end of line."""
    return msgspec.json.encode(line) + b"\n"


def read(line: bytes | str) -> LoggedDecision:
    """Fields that are not known are passed over. Raises UnusableLine."""
    if len(line) > LINE_BYTES_MAX:
        raise UnusableLine(f"it is longer than {LINE_BYTES_MAX} bytes")
    try:
        found = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UnusableLine(str(error)) from None
    if not math.isfinite(found.at):
        raise UnusableLine("time is no time")
    if found.family not in (0, 4, 6):
        raise UnusableLine(f"family {found.family} is neither 4 nor 6, nor 0 for any")
    try:
        urlsplit(found.url)
    except ValueError as error:
        raise UnusableLine(f"url: {error}") from None
    found.address()
    return found


_DECODER = msgspec.json.Decoder(LoggedDecision)


def _seconds(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UnusableLine(f"time {text[:40]!r} is no time of RFC 3339") from None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
