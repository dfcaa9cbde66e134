"""A request for what may be a large body, and what of the body it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.message import ForwardReason, Headers, Request
from edgeproxy.policy import conditionals, ranges
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Layout, Plan, Site
from edgeproxy.storage.store import PartialBody


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for what may be a large body. `shared`: the answer may be given to others as well."""

    request: Request
    plan: Plan
    site: Site
    reason: ForwardReason
    shared: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes come from: the plan, the name of its site, the fields to ask with.
    `refuses_ranges`: upstream has sent the whole for a range already."""

    plan: Plan
    site: str
    headers: Headers
    refuses_ranges: bool = False


def _asked_slices(
    request: Request, stored: StoredResponse, layout: Layout | None
) -> tuple[tuple[int, int], ...]:
    """What of the body the answer will show."""
    size = stored.body_bytes if layout is None else layout.size
    if request.method == "HEAD":
        return ()
    slices = _selected(request, stored, size)
    if layout is None:
        return slices
    pieces = (piece for start, end in slices for piece in layout.pieces(start, end))
    return tuple(piece for piece in pieces if not isinstance(piece, bytes))


def _selected(request: Request, stored: StoredResponse, size: int) -> tuple[tuple[int, int], ...]:
    """What of `size` bytes the Range selects."""
    text = request.headers.get("Range")
    if text and conditionals.ranges_apply(request, stored.headers):
        parsed = ranges.parse(text, size, 16)
        if isinstance(parsed, ranges.Slices):
            return parsed.slices
        if isinstance(parsed, ranges.Unsatisfiable):
            return ()
    return ((0, size),)


def is_held(
    request: Request, stored: StoredResponse, partial: PartialBody, layout: Layout | None = None
) -> bool:
    """Whether all that the request asks for is there."""
    return all(partial.spans.holds(*each) for each in _asked_slices(request, stored, layout))


def first_hole(
    request: Request, stored: StoredResponse, partial: PartialBody, layout: Layout | None = None
) -> tuple[int, int]:
    """Where the first absent bytes that the request asks for are; the first byte of all if none are."""
    for start, end in _asked_slices(request, stored, layout):
        for hole in partial.spans.holes(start, end):
            return hole
    return 0, 1
