"""What a site adds to the RFCs: one frozen value, made from configuration, an argument of every
policy function. The default is a plain RFC 9111 shared cache. Times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    # Freshness. Precedence: ttl, then what the response says (capped), then ttl_default, then heuristic.
    ttl: float | None = None  # replaces what a storable response says; never makes private shareable
    ttl_default: float | None = None  # for a response without explicit freshness
    ttl_max: float | None = None  # caps explicit freshness
    negative_ttl: float | None = None  # 404 and 410 without explicit freshness; None: heuristic rules
    negative_in_memory: bool = False  # negative answers never reach the disk
    heuristic_fraction: float = 0.1  # RFC 9111 section 4.2.2
    heuristic_max: float = 86400.0
    targeted: tuple[str, ...] = ("CDN-Cache-Control",)  # RFC 9213, first present wins
    immutable: bool = False  # bytes can never change under this key
    force_store: bool = False  # store 200 even without freshness or validator (not private/no-store)

    # Stale answers.
    stale_while_revalidate: float = 0.0  # used where the response says nothing
    stale_if_error: float = 0.0  # likewise
    stale_when_disconnected: float | None = None  # no answer from upstream at all; None: RFC (4.2.4)
    error_statuses: frozenset[int] = frozenset({500, 502, 503, 504})  # count as failure (RFC 5861 section 4)
    stale_statuses: frozenset[int] = frozenset()  # no failures, but what is stored is served meanwhile
    second_look: float = 0.0  # a 404/410 for what is stored is believed when seen again this much later
    patience: float | None = None  # wait this long for upstream when a stale answer may be served instead
    offline: bool = False  # never ask upstream; everything stored is usable whatever its age

    # Client's wishes.
    honour_request_directives: bool = True  # Cache-Control and Pragma of requests
    refresh_within: float = 0.0  # what was used so recently is revalidated before it expires; 0: never
    request_max_age_least: float = 0.0  # a client's smaller max-age is read as this
    revalidate_floor: float = 0.0  # a client's no-cache/max-age=0 asks upstream at most this often

    # Credentials, Vary and cookies.
    keyed_by_credential: bool = (
        False  # the cache key tells credentials apart, so answers to them are storable
    )
    vary_ignore: frozenset[str] = frozenset()  # lower-case names that do not select
    strip_set_cookie: bool = False  # store without Set-Cookie instead of not storing
    strip_cookie: bool = False  # do not send Cookie upstream

    # Bounds and failure.
    body_bytes_max: int = 1 << 40
    uncacheable_memory: float = 5.0  # for how long "this is not storable" is remembered (hit-for-miss)
    unavailable_status: int | None = None  # instead of 502/504 when nothing can be served
    retry_after: float | None = None
    retries: int = 0  # of an upstream that failed at once, before anything of its answer was shown
    hedge_after: float | None = None  # ask once more beside an upstream that gives no head for so long
    error_memory: float = 0.0  # a failed fetch is remembered this long for its URL
