"""What came of asking a candidate: whether it is the answer, and what it says about the candidate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.candidate_health import Trouble

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_GATEWAY = frozenset({502, 503, 504})
_LACKING = frozenset({401, 403, 404, 410})  # what a mirror has no copy of

_UNREACHABLE = frozenset(
    {
        ProxyError.DNS_TIMEOUT,
        ProxyError.DNS_ERROR,
        ProxyError.DESTINATION_NOT_FOUND,
        ProxyError.DESTINATION_IP_PROHIBITED,
        ProxyError.DESTINATION_IP_UNROUTABLE,
        ProxyError.CONNECTION_REFUSED,
        ProxyError.CONNECTION_TIMEOUT,
        ProxyError.TLS_PROTOCOL_ERROR,
        ProxyError.TLS_CERTIFICATE_ERROR,
    }
)
_TIMEOUTS = frozenset({ProxyError.HTTP_RESPONSE_TIMEOUT, ProxyError.CONNECTION_READ_TIMEOUT})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`is_final`: the answer, whoever else there is. `may_stand`: the answer if nobody else has a better one.
    `is_charged`: asking another candidate instead counts against the retry budget."""

    is_final: bool
    trouble: Trouble | None = None
    why: str = ""
    may_stand: bool = True
    is_charged: bool = False


FINAL = Verdict(is_final=True)


def of_response(candidate: Candidate, method: str, status: int, headers: Headers) -> Verdict:
    """A parent's word about itself is no answer to what was asked; an origin's always is."""
    if candidate.role is Role.ORIGIN:
        return FINAL
    match status:
        case 407:  # RFC 9110 section 11.7.1: what a token in Proxy-Authorization is refused with
            return Verdict(False, Trouble.LOCKED, "it does not accept our token", may_stand=False)
        case 421:
            return Verdict(False, why="it does not serve this name", may_stand=False)
        case 508:
            return Verdict(False, why="the request would go in a circle", may_stand=False)
        case _ if status in _GATEWAY and method in IDEMPOTENT:
            if is_relayed(headers):  # it lives, and cannot reach what is behind it either
                return Verdict(False, why=f"it says {status}", may_stand=False, is_charged=True)
            return Verdict(False, Trouble.FAILED, f"it says {status}", is_charged=True)
        case _ if status in _LACKING and candidate.is_mirror:
            return Verdict(False, why=f"the mirror says {status}")
    return FINAL


def is_relayed(headers: Headers) -> bool:
    """Whether an error tells of somebody further up (RFC 9209 section 2.1.1)."""
    return "error=" in headers.get("Proxy-Status")


def of_error(
    candidate: Candidate, method: str, error: UpstreamError, *, was_silent: bool, has_body: bool
) -> Verdict:
    """`was_silent`: nothing at all has come from the candidate since it was asked."""
    trouble: Trouble | None = Trouble.FAILED
    if error.error in _UNREACHABLE:  # also where the request had left once, over a connection that was lost
        trouble = Trouble.UNREACHABLE
    elif error.error in _TIMEOUTS and was_silent:
        trouble = Trouble.SILENT
    elif error.error in (ProxyError.CONNECTION_LIMIT_REACHED, ProxyError.DESTINATION_UNAVAILABLE):
        trouble = None  # that is about us, or known already
    elif error.error is ProxyError.PROXY_INTERNAL_ERROR:
        return Verdict(is_final=True, why=str(error))
    repeatable = method in IDEMPOTENT and not has_body
    return Verdict(
        is_final=not (repeatable or not error.sent),
        trouble=trouble,
        why=f"{error.error.value}: {error}",
        is_charged=error.sent and candidate.role is not Role.ORIGIN,
    )


def of_break(error: UpstreamError, *, was_silent: bool) -> Trouble:
    """What an error in the middle of a body says."""
    return Trouble.SILENT if error.error in _TIMEOUTS and was_silent else Trouble.FAILED
