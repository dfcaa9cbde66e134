"""The status page of a router."""

from __future__ import annotations

from typing import Any


def page(status: dict[str, Any]) -> str:
    return "<!doctype html>"
