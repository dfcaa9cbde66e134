"""What a request says about itself that decides whether, and how, it may be redirected. Pure."""

from __future__ import annotations

from collections.abc import Collection

from edgeproxy.message import Headers

EXCLUDE = "exclude"
# With any of these a request is about one client, or one part of a file.
OF_ONE_CLIENT = (
    *("Authorization", "Cookie", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range"),
    *("If-Unmodified-Since", "Range", "Expect"),
)

_CREDENTIALS = frozenset({"authorization", "cookie"})


def has_credentials(headers: Headers) -> bool:
    """Clients drop these when they are sent to another host."""
    return headers.has_any(_CREDENTIALS)


def is_common(headers: Headers) -> bool:
    """Whether an answer to these fields says the same to everybody."""
    return not any(name in headers for name in OF_ONE_CLIENT)


def family_of(address: str) -> int:
    """4 or 6 as a client connects, 0 if that is not known; IPv4 within IPv6 is IPv4."""
    if not address:
        return 0
    return 6 if ":" in address and "." not in address else 4


def complained_of(target: str, nodes: Collection[str]) -> tuple[str, frozenset[str]]:
    """`target` without the complaint in its query, and the nodes that it names. A parameter of that name is
    the file's own, and stays, unless it names nodes only."""
    path, _, query = target.partition("?")
    kept: list[str] = []
    found: set[str] = set()
    for part in query.split("&"):
        name, _, value = part.partition("=")
        named = set(value.split(",")) if name == EXCLUDE else set()
        if named and named <= set(nodes):
            found |= named
        else:
            kept.append(part)
    if not found:
        return target, frozenset()
    return f"{path}?{'&'.join(kept)}" if kept else path, frozenset(found)
