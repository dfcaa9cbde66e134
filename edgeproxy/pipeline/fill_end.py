"""How fills end."""

from __future__ import annotations

from enum import StrEnum


class FillEnd(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    FRESHENED = "freshened"
    FAILED = "failed"
    GIVEN_UP = "given-up"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded"
    HANDED_OVER = "handed-over"  # to the fill of a large body
