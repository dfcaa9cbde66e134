"""One line of the access log: what it holds and how it is written. Pure.

No byte of a client can end a line or start another, no field is longer than 2 KiB, and values that
may be secrets are left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import orjson

FIELD_LENGTH = 2048
_AGENT_LENGTH = 256
_REDACTED = "REDACTED"
_SECRET = re.compile(
    r"([?&;][^=&;#]*(?:token|sig|secret|passw|pwd|auth|credential|api[-_.]?key|access[-_.]?key|session|jwt|policy|"
    r"key-pair-id|code)[^=&;#]*=)[^&;#]*",
    re.IGNORECASE | re.ASCII,
)
# Paths of the node's own that are capabilities: what follows lets its holder read for a while.
_CAPABILITY = re.compile(r"(/_(?:cas/xorbs|lfs)/)[^/?#]+", re.ASCII)
_USERINFO = re.compile(r"//[^/?#@]*@", re.ASCII)
_UNSAFE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class LogEntry(NamedTuple):
    """An answered exchange. `time` is wall-clock seconds; `seconds` and the like are durations."""

    time: float
    id: str
    trace: str
    client: str
    method: str
    authority: str
    target: str
    version: str
    status: int
    bytes: int
    seconds: float
    first_byte: float | None = None
    upstream: float | None = None
    cache: str = ""
    reason: str = ""
    detail: str = ""
    source: str = ""
    site: str = ""
    agent: str = ""
    referer: str = ""
    complete: bool = True


Format = Callable[[LogEntry], bytes]


def redacted(url: str) -> str:
    """`url` without user information and without the values of parameters that look like secrets."""
    if "?" in url or ";" in url:
        url = _SECRET.sub(r"\1" + _REDACTED, url)
    if "/_" in url:
        url = _CAPABILITY.sub(r"\1" + _REDACTED, url)
    if "@" in url:
        url = _USERINFO.sub("//", url)
    return url


def _bounded(text: str, length: int = FIELD_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _url(entry: LogEntry) -> str:
    # Cut before redacting: the cost of a line is bounded whatever the URL.
    return _bounded(redacted(_bounded(entry.target, FIELD_LENGTH - 300)))


def iso_time(time: float) -> str:
    fraction, whole = math.modf(time)
    millisecond = round(fraction * 1e6) // 1000  # as datetime does it
    if 0 <= millisecond < 1000:
        return f"{_iso_second(int(whole))}.{millisecond:03d}Z"
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=8)
def _iso_second(second: int) -> str:
    """Lines come in the order of time, nearly."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def json_rest(entry: LogEntry) -> dict[str, object]:
    """The fields of a JSON line after time, id, trace and client."""
    return _json_fields(entry, {})


def _json_fields(entry: LogEntry, told: dict[str, object]) -> dict[str, object]:
    first_byte, upstream = entry.first_byte, entry.upstream
    told["method"] = _bounded(entry.method)
    told["host"] = _bounded(entry.authority)
    told["url"] = _url(entry)
    told["version"] = entry.version
    told["status"] = entry.status
    told["bytes"] = entry.bytes
    told["seconds"] = round(entry.seconds, 6)
    told["first_byte_seconds"] = None if first_byte is None else round(first_byte, 6)
    told["upstream_seconds"] = None if upstream is None else round(upstream, 6)
    told["cache"] = entry.cache
    told["reason"] = entry.reason
    told["site"] = entry.site
    told["agent"] = _bounded(entry.agent, _AGENT_LENGTH)
    if entry.source:
        told["source"] = entry.source
    if entry.detail:
        told["detail"] = _bounded(entry.detail)
    if not entry.complete:
        told["aborted"] = True
    return told


def json_line(entry: LogEntry) -> bytes:
    told: dict[str, object] = {
        "time": iso_time(entry.time),
        "id": _bounded(entry.id),
        "trace": _bounded(entry.trace),
        "client": _bounded(entry.client),
    }
    return orjson.dumps(_json_fields(entry, told), option=orjson.OPT_APPEND_NEWLINE)


def _escaped(text: str, length: int = FIELD_LENGTH) -> str:
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", _bounded(text, length)) or "-"


def combined_rest(entry: LogEntry) -> bytes:
    """A line of the combined format after client and time."""
    request = f"{_escaped(entry.method)} {_escaped(_url(entry))} HTTP/{_escaped(entry.version)}"
    referer = _escaped(redacted(_bounded(entry.referer)))
    agent = _escaped(entry.agent, _AGENT_LENGTH)
    return f'"{request}" {entry.status} {entry.bytes} "{referer}" "{agent}"\n'.encode("ascii")


def combined_time(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("[%d/%b/%Y:%H:%M:%S +0000]")


def combined_line(entry: LogEntry) -> bytes:
    return f"{_escaped(entry.client)} - - {combined_time(entry.time)} ".encode("ascii") + combined_rest(entry)
