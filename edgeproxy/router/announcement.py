"""What a node tells a router of itself, every few seconds, as JSON; and which of it is believed. Pure.

A node speaks for itself only: its load, what its clients' round trips are, what it sees of other nodes. Where
clients are sent is for the operator to allow."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec

from edgeproxy.router.client import Network

BODY_BYTES_MAX = 512 << 10
ROUND_TRIPS_MAX = 2000
SEEN_MAX = 256
NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z"

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Text = Annotated[str, msgspec.Meta(max_length=64)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=10.0)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0.0, le=60_000.0)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


class RoundTrip(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Of clients of one prefix: the least round trip (ms) of each of `connections`, in their middle."""

    prefix: Annotated[str, msgspec.Meta(max_length=43)]
    rtt: Milliseconds
    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Seen(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node sees of another: whether it lives, and the round trip (ms; 0 if unknown)."""

    node: Name
    alive: bool
    rtt: Milliseconds = 0.0


class Announcement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`sent_at` is wall-clock seconds. `url` and `addresses` are where clients reach the node. `holds` is as
    holdings.encode makes it, in base64; "" says nothing of it, so that the former one stays."""

    name: Name
    sent_at: float
    url: Annotated[str, msgspec.Meta(max_length=256)] = ""
    addresses: Annotated[list[Text], msgspec.Meta(max_length=8)] = []
    region: Text = ""
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    asn: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] = 0
    capacity: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    state: Annotated[str, msgspec.Meta(pattern=r"^(up|degraded|draining|maintenance)\Z")] = "up"
    utilisation: Share = 0.0
    in_flight: Count = 0
    fill_ms: Milliseconds = 0.0
    holds: Annotated[str, msgspec.Meta(max_length=128 << 10)] = ""
    round_trips: Annotated[list[RoundTrip], msgspec.Meta(max_length=ROUND_TRIPS_MAX)] = []
    seen: Annotated[list[Seen], msgspec.Meta(max_length=SEEN_MAX)] = []


class Refused(ValueError):
    """An announcement that is not taken: `status` for the node, and one line for it and the log."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class AnnounceRules:
    """What the operator allows. `urls` are patterns ("https://*.edge.example") and `networks` hold every
    address that clients may be sent to. Seconds."""

    token: str = ""  # of nodes that are not in the configuration; "" takes none
    urls: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    nodes_max: int = 1000
    heartbeat_seconds: float = 10.0
    missed: int = 3
    least_seconds: float = 0.5  # between two announcements of one node
    skew_seconds: float = 60.0


_DECODER = msgspec.json.Decoder(Announcement)


def parse(body: bytes) -> Announcement:
    """Raises Refused 400, 413."""
    if len(body) > BODY_BYTES_MAX:
        raise Refused(413, f"an announcement has at most {BODY_BYTES_MAX} bytes")
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        line = str(error).partition("\n")[0][:200]
        raise Refused(400, f"no announcement: {line}") from None


def check_time(announcement: Announcement, now: float, before: float, rules: AnnounceRules) -> None:
    """`before` is when the last one that was taken had been sent. Raises Refused 400, 409."""
    skew = announcement.sent_at - now
    if not -rules.skew_seconds <= skew <= rules.skew_seconds:  # this holds for no NaN
        raise Refused(400, f"the clock of {announcement.name} is {skew:+.0f} s off ours")
    if announcement.sent_at <= before:
        raise Refused(409, f"{announcement.name} has announced something newer already")


def check_reach(announcement: Announcement, rules: AnnounceRules) -> None:
    """Whether clients may be sent where it says. Raises Refused 400, 403."""
    url = _split(announcement.url)
    if not _is_allowed(announcement.url, url.hostname or "", rules):
        raise Refused(403, f"clients are not sent to {announcement.url!r}: see the urls and networks allowed")
    for text in announcement.addresses:
        if not _is_inside(text, rules):
            raise Refused(403, f"clients are not sent to {text!r}: it is in none of the networks allowed")


def _split(text: str) -> SplitResult:
    """An absolute http or https URL of printable ASCII, with a host and perhaps a path, and nothing else."""
    if not text.isascii() or not text.isprintable() or any(sign in text for sign in ' \\@?#"<>'):
        raise Refused(400, "its url has signs that it may not have")
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or text.endswith("/"):
        raise Refused(400, f"its url {text!r} is not http(s)://host[:port][/path] without a slash at the end")
    return url


def _is_allowed(text: str, host: str, rules: AnnounceRules) -> bool:
    """By a pattern, in which a star never stands for a slash; or because the host is an allowed address."""
    for pattern in rules.urls:
        allowed = re.escape(pattern.rstrip("/")).replace(r"\*", "[^/]*")
        if re.fullmatch(f"{allowed}(/.*)?", text):
            return True
    return _is_inside(host, rules)


def _is_inside(text: str, rules: AnnounceRules) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in rules.networks)
