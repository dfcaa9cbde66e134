"""What goes wrong at a stand-in hub, to be switched while it runs. All is off at first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar

Ending = Literal["fin", "reset", "stall"]
Ranges = Literal["right", "none", "whole", "shifted", "resized", "renamed"]


@dataclass
class Flip:
    """One wrong byte, at an offset of the whole file, in the first `times` answers that hold it."""

    at: int
    times: int | None = None  # None is for ever


@dataclass
class Cut:
    """The first `times` bodies end after so many bytes of theirs, or say no more ("stall")."""

    after: int
    times: int | None = None
    how: Ending = "fin"


_Counted = TypeVar("_Counted", Flip, Cut)


@dataclass
class Faults:
    """Tables are by the path of a file in its repository; "*" stands for every file."""

    flipped: dict[str, Flip] = field(default_factory=dict)
    cut: dict[str, Cut] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)  # where the bytes are: CDN or resolve-cache
    resolve_status: dict[str, int] = field(default_factory=dict)
    html: set[str] = field(default_factory=set)  # a page with status 200 in place of the bytes
    redirected: dict[str, str] = field(default_factory=dict)  # resolve points to this URL instead
    tree_lies: dict[str, dict[str, object]] = field(default_factory=dict)  # over the entries of trees

    hub_error_every: int = 0  # every n-th answer of the hub is `error_status`; 0 is never
    cdn_error_every: int = 0
    error_status: int = 503

    limited: dict[str, int] = field(default_factory=dict)  # so many 429 of "api", "resolvers", "pages"
    limited_seconds: int = 2  # what they say to wait

    hub_delay: float = 0.0  # seconds before a head
    cdn_delay: float = 0.0
    cdn_bandwidth: float = 0.0  # bytes a second of one answer; 0 has no limit
    signed_seconds: int = 3600  # life of a signed URL
    # "none": 200 without Accept-Ranges, "whole": 200 although it says bytes, "shifted": Content-Range one
    # byte off, "resized": Content-Range with another whole size, "renamed": a new ETag for each answer
    cdn_ranges: Ranges = "right"
    cdn_whole_max: int = 50_000_000_000  # above it the CDN refuses a GET without Range

    def taken(self, table: dict[str, _Counted], path: str) -> _Counted | None:
        """The fault ordered for a path, counted as used once."""
        found = table.get(path) or table.get("*")
        if found is None or found.times == 0:
            return None
        if found.times is not None:
            found.times -= 1
        return found

    def takes_limit(self, kind: str) -> bool:
        """Whether this answer is one of the 429 ordered for its kind."""
        left = self.limited.get(kind, 0)
        self.limited[kind] = max(0, left - 1)
        return left > 0
