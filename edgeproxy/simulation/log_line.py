"""One line of an access log, as this node writes it (`serving.log_line`): JSON, or the combined format that
other servers write too."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

METHODS = frozenset({"GET", "HEAD"})
STATUSES = frozenset({200, 206, 304})
# The node did not look into its store, or had nothing to store.
NOT_CACHED = frozenset({"bypass", "local", "tunnel", "refused", "error"})
FROM_STORE = frozenset({"hit", "stale", "revalidated"})
PART = 206
BYTES_MAX = 1 << 50  # of one answer; more is a broken line

_COMBINED = re.compile(
    rb'(\S+) \S+ \S+ \[([^\]]+)\] "([!-~]+) ([^" ]+)(?: HTTP/[0-9.]+)?" ([0-9]{3}) ([0-9]+|-)(?: .*)?',
    re.DOTALL,
)


class UnreadableLine(ValueError):
    """No line of an access log; the text says why, in one line."""


class Asked(NamedTuple):
    """A request that a cache could have answered. `key` tells objects apart, `bytes` of body went to
    `client`. `time` as the log writes it. `is_from_store` is what the log says, None if it does not."""

    key: bytes
    bytes: int
    client: str
    time: str
    is_part: bool
    is_from_store: bool | None = None


class _Line(msgspec.Struct):
    """The fields of a JSON line that matter here."""

    method: str
    url: str
    status: int
    bytes: int
    time: str = ""
    client: str = ""
    host: str = ""
    site: str = ""
    cache: str = ""


_DECODER = msgspec.json.Decoder(_Line)


def read(line: bytes) -> Asked | None:
    """What `line` says was asked for; None if no cache would have answered it: another method, another
    status, or an answer the node did not take for one to store. Raises UnreadableLine.

    Objects are told apart by site (where the log has none, by host) and URL, query included, as the log has
    them: without the values of secrets, and cut at 2 KiB."""
    return _read_json(line) if line[:1] == b"{" else _read_combined(line)


def _read_json(line: bytes) -> Asked | None:
    try:
        found = _DECODER.decode(line)
        key = f"{found.site or found.host} {found.url}".encode()
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UnreadableLine(str(error)) from None
    if not 0 <= found.bytes <= BYTES_MAX:
        raise UnreadableLine(f"bytes cannot be {found.bytes}")
    if found.method not in METHODS or found.status not in STATUSES or found.cache in NOT_CACHED:
        return None
    known = found.cache in FROM_STORE if found.cache else None
    return Asked(key, found.bytes, found.client, found.time, found.status == PART, known)


def _read_combined(line: bytes) -> Asked | None:
    matched = _COMBINED.fullmatch(line.rstrip(b"\r"))
    if matched is None:
        raise UnreadableLine("it is neither JSON nor the combined format")
    client, time, method, target, status, size = matched.groups()
    if method.decode("ascii") not in METHODS or int(status) not in STATUSES:
        return None
    sent = 0 if size == b"-" else int(size[:19])
    if sent > BYTES_MAX:
        raise UnreadableLine(f"bytes cannot be {sent}")
    who, when = client.decode("utf-8", "replace"), time.decode("utf-8", "replace")
    return Asked(target, sent, who, when, int(status) == PART)


def seconds(time: str) -> float | None:
    """Of the wall clock, for a time as either format writes it; None if it is none."""
    for parsed in (datetime.fromisoformat, _combined_time):
        try:
            found = parsed(time)
        except ValueError:
            continue
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    return None


def _combined_time(time: str) -> datetime:
    return datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z")
