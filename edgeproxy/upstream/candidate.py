"""Whom a request may be sent to, as configuration says it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Role(StrEnum):
    SIBLING = "sibling"
    PARENT = "parent"
    ORIGIN = "origin"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream that may be asked. `name` is a label of metrics and the source of responses. Smaller
    preferences come first, `weight` is its share among equals. A mirror is asked under its own name, and so
    only for what it may have a copy of."""

    name: str
    role: Role
    sites: tuple[str, ...] = ("*",)
    preference: int = 0
    weight: float = 1.0
    region: str = ""
    is_mirror: bool = False

    def serves(self, site: str) -> bool:
        return "*" in self.sites or any(fnmatchcase(site, pattern) for pattern in self.sites)


ORIGIN = Candidate("origin", Role.ORIGIN)  # whichever origin a request names
