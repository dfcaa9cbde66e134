"""Hits that any plain request for a target gets, found by the target: not planned and decided again.

A request is plain if it has no field that anybody on the way to a hit looks at, but for those that Vary
names. What it gets then follows from its target and authority (for sites that say so, see plans_by_target),
what is stored under the key, the values of the fields that Vary names, and the time. All of these are
compared here, so what is found is what the whole way would give, to the second, as with the request memo;
unlike that, it is found whatever else the head holds: a name for a trace, a count, the name of a client."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeproxy.message import (
    BytesBody,
    CacheOutcome,
    Clock,
    Headers,
    Outcome,
    Request,
    Response,
    Reuse,
)
from edgeproxy.policy.decision import Hit, before
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan, Site, plans_by_target
from edgeproxy.storage.store import Store

TARGETS_MAX = 4096
TARGET_LENGTH = 2048  # of longer ones there are few
SPELLINGS_MAX = 16  # of the fields that Vary names, for one target

# Loops, nodes, credentials, wishes, conditions, ranges, digests; and what is not about the answer alone.
LOOKED_AT = frozenset(
    {
        *("cdn-loop", "via"),
        *("edge-node", "edge-purges", "proxy-authorization"),
        *("authorization", "cookie"),
        *("cache-control", "pragma"),
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"),
        *("want-repr-digest", "repr-digest", "content-digest"),
        *("expect", "te", "upgrade", "content-length", "transfer-encoding", "trailer"),
    }
)
_CONNECTIONS = frozenset({"", "keep-alive", "close"})


@dataclass(slots=True)
class _Known:
    """What one spelling of the request gets. `headers` are those of the second before `built_until`."""

    outcome: Outcome
    reuse: Reuse
    headers: Headers
    built_at: float
    built_until: float

    def is_good(self, now: float, sequence: int) -> bool:
        held, source = self.reuse.held, self.reuse.source
        if now >= held.fresh_until or held.sequence != sequence:
            return False
        return source is None or (now < source.fresh_until and source.sequence == sequence)

    def build(self, now: float) -> None:
        self.headers = self.reuse.fields(now)
        self.built_at = float(int(now))
        self.built_until = self.built_at + 1.0
        self.reuse.used()  # as often as the request memo says so


@dataclass(slots=True)
class _Place:
    """What is known of a target, as long as `variants` is what is stored for it. `names` are in Vary."""

    key: str
    variants: tuple[StoredResponse, ...]
    names: tuple[str, ...]
    known: dict[tuple[tuple[str, ...], ...], _Known] = field(default_factory=dict)


class PlainHits:
    """At most TARGETS_MAX targets; the longest known leaves first. What the RAM tier has let go of is not
    held here."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # A plain dict looks over every gap of what has left to find its oldest.
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()
        self._seen: set[int] = set()  # hashes of targets that were hit once, lately

    def __len__(self) -> int:
        return len(self._places)

    def find(self, request: Request) -> Response | None:
        """The answer, if it is known what everybody gets who asks like this."""
        place = self._places.get((request.target, request.authority))
        if place is None or not is_plain(request):
            return None
        if self._store.peek(place.key) != place.variants:
            return None
        headers = request.headers
        spelling = tuple([headers.all(name) for name in place.names]) if place.names else ()
        known = place.known.get(spelling)
        if known is None:
            return None
        now = self._clock()
        if not known.is_good(now, self._store.sequence):
            del place.known[spelling]
            return None
        if not known.built_at <= now < known.built_until:
            known.build(now)
        reuse = known.reuse
        return Response(200, known.headers, BytesBody(reuse.data), known.outcome, reuse)

    def note(self, request: Request, site: Site, plan: Plan, response: Response) -> None:
        """A request has been answered with `response`, by the first site that its target leads to."""
        reuse = response.reuse
        if (
            reuse is None
            or not self._was_seen((request.target, request.authority))
            or response.status != 200
            or type(response.body) is not BytesBody
            or response.outcome.cache is not CacheOutcome.HIT
            or len(request.target) > TARGET_LENGTH
            or not is_plain(request)
            or not _is_repeatable(plan)
            or not plans_by_target(site)
        ):
            return
        variants = self._store.peek(plan.key)
        if not variants or any(stored.vary_star for stored in variants):
            return
        # Something may have been stored since the answer was decided upon.
        decision = before(request, variants, plan.rules, self._clock())
        if not isinstance(decision, Hit) or self._store.reusable(decision.stored) is not reuse.held:
            return
        place = self._place(request, plan.key, variants)
        if len(place.known) >= SPELLINGS_MAX:
            place.known.clear()
        spelling = tuple([request.headers.all(name) for name in place.names])
        place.known[spelling] = _Known(response.outcome, reuse, response.headers, 0.0, 0.0)

    def _was_seen(self, where: tuple[str, str]) -> bool:
        """What is asked for once in a long while is not worth the work, nor the place of another."""
        mark = hash(where)
        if mark in self._seen or where in self._places:
            return True
        if len(self._seen) >= TARGETS_MAX:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def _place(self, request: Request, key: str, variants: tuple[StoredResponse, ...]) -> _Place:
        where = (request.target, request.authority)
        place = self._places.get(where)
        if place is not None and place.variants == variants:
            return place
        self._places.pop(where, None)
        if len(self._places) >= TARGETS_MAX:
            self._places.popitem(last=False)
        place = self._places[where] = _Place(key, variants, _names(variants))
        return place


def is_plain(request: Request) -> bool:
    """Whether nothing in it but what Vary names has a say in what it gets."""
    headers = request.headers
    return (
        request.method == "GET"
        and request.body is None
        and not request.target_scheme
        and not request.is_named
        and not headers.has_any(LOOKED_AT)
        and headers.get("connection").lower() in _CONNECTIONS
    )


def _is_repeatable(plan: Plan) -> bool:
    """Whether a hit is all there is to it."""
    return (
        plan.view is None
        and plan.present is None
        and plan.prerequisite is None
        and plan.otherwise is None
        and plan.upcoming is None
        and plan.layout is None
        and plan.instead is None
        and not plan.is_judged
        and not plan.expected.sha256
        and not plan.rules.refresh_within
    )


def _names(variants: Sequence[StoredResponse]) -> tuple[str, ...]:
    return tuple(sorted({name for stored in variants for name, _ in stored.selecting}))
