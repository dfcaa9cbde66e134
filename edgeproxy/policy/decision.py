"""The two questions policy is asked in an exchange.

before(request, what is stored)  -> Hit | Stale | Revalidate | Miss | Bypass | Refuse
after(request, what came)        -> Store | Freshen | PassThrough | ServeStale

Each answer is a frozen value that carries its reason; the pipeline only acts on it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.message import ForwardReason, Headers
from edgeproxy.policy.stored import StoredResponse


@dataclass(frozen=True, slots=True)
class Hit:
    """Serve what is stored; `lifetime` is what is left of freshness, in seconds."""

    stored: StoredResponse
    lifetime: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """Serve what is stored although stale; `revalidate` in the background as well."""

    stored: StoredResponse
    lifetime: float
    revalidate: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask upstream, with `conditions` added if the stored response has validators."""

    stored: StoredResponse
    conditions: Headers
    reason: ForwardReason
    detail: str


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing stored is usable: fetch, and perhaps store."""

    reason: ForwardReason
    detail: str


@dataclass(frozen=True, slots=True)
class Bypass:
    """Forward for this client alone: neither look up nor store nor collapse."""

    reason: ForwardReason
    detail: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer `status` without asking upstream (only-if-cached, offline)."""

    status: int
    detail: str


Before = Hit | Stale | Revalidate | Miss | Bypass | Refuse


@dataclass(frozen=True, slots=True)
class Store:
    """Keep the response. `stored` lacks body, body_bytes, digest and sequence: storage adds them."""

    stored: StoredResponse


@dataclass(frozen=True, slots=True)
class Freshen:
    """A 304 (or HEAD) updated the stored response; serve `stored`, keep its body."""

    stored: StoredResponse


@dataclass(frozen=True, slots=True)
class PassThrough:
    """Give the response to the client that asked, to nobody else, and keep nothing."""

    detail: str


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Upstream failed or answered an error: serve what is stored."""

    stored: StoredResponse
    detail: str


After = Store | Freshen | PassThrough | ServeStale
