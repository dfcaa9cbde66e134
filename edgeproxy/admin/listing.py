"""What is stored, as the control plane tells it: one dictionary a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeproxy.storage.store import Listed


def listing_rows(found: Sequence[Listed]) -> list[dict[str, Any]]:
    """`size_bytes` is the whole body, `held_bytes` how much of it is here, `disk_bytes` what it takes
    (shared by all responses with the same `body`); `place` is where the next page goes on."""
    return [_row(listed) for listed in found]


def _row(listed: Listed) -> dict[str, Any]:
    stored = listed.stored
    size = stored.body_bytes
    return {
        "key": stored.key,
        "site": stored.site,
        "name": stored.name,
        "tags": list(stored.tags),
        "status": stored.status,
        "digest": stored.digest,
        "body": stored.body,
        "size_bytes": size,
        "held_bytes": size if listed.is_complete else min(size, listed.held_bytes),
        "disk_bytes": listed.held_bytes,
        "complete": listed.is_complete,
        "last_used": listed.last_used,
        "place": listed.place,
    }
