"""Points at which a test can end the process as a power switch would.

EDGEPROXY_CRASH=point:n ends the process at the n-th pass of the point, without any clean-up. The
variable is read when a store is opened; without it a point costs one comparison."""

from __future__ import annotations

import os

POINTS: dict[str, str] = {
    "body-opened": "a temporary file exists and is empty",
    "body-data": "some body bytes are in the temporary file",
    "body-footer": "body and footer are in the temporary file",
    "body-renamed": "the file has its final name; the index does not know it",
    "index-before-commit": "a transaction of the index is written but not committed",
    "index-committed": "the index is committed; what it replaced is still on disk",
    "body-unlinked": "a body is gone; the index still names it",
    "partial-opened": "the file of a partial body exists and is empty",
    "partial-data": "some bytes of a partial body are in its file; the index does not know them",
    "partial-before-index": "what is there of a partial body is about to be written down",
    "partial-unlinked": "a partial body is gone; the index still names it",
    "purge-logged": "a purge is in the log and not yet in the index",
    "shrinking": "a whole body has been moved to become a partial one; the index still knows it as whole",
    "shrunk": "the index knows what a partial body will lose; its file still has it",
    "evicting": "victims are known and nothing has been removed",
}


class _Switch:
    point = ""
    passes_left = 0


_switch = _Switch()


def arm(setting: str | None) -> None:
    """Set the switch from "point:n"; anything else disarms it. An unknown point is a KeyError."""
    _switch.point, _switch.passes_left = "", 0
    if not setting:
        return
    point, _, count = setting.partition(":")
    if point not in POINTS:
        raise KeyError(point)
    _switch.point = point
    _switch.passes_left = int(count) if count.isascii() and count.isdigit() else 1


def reach(point: str) -> None:
    """Die here if this is the pass the switch is set for."""
    if _switch.point != point:
        return
    _switch.passes_left -= 1
    if _switch.passes_left <= 0:
        os._exit(137)
