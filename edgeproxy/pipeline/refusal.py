"""Answers of an upstream that are no answers to what was asked: its failures, whatever they look like."""

from __future__ import annotations

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.sites.site import Plan

MISSING = (404, 410)


class WrongBytes(UpstreamError):
    """A body that is not what it was known to be. `may_try_again`: whoever sent it is avoided from now on,
    and somebody else may have the right one."""

    def __init__(self, message: str, *, may_try_again: bool) -> None:
        super().__init__(ProxyError.HTTP_PROTOCOL_ERROR, message)
        self.may_try_again = may_try_again


def refused(plan: Plan, status: int, content_length: int | None) -> UpstreamError | None:
    """Why a head cannot answer a fill of `plan`; None if it can. A fill asks for the whole."""
    if status == 206:
        return bad_answer("a part of the content came although no range was asked for")
    if counts_as_failure(plan, status):
        return UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, f"the upstream answered {status}")
    expected = plan.expected.size
    if status == 200 and expected is not None and content_length not in (None, expected):
        return bad_answer(f"{content_length} bytes announced where {expected} are expected")
    return None


def counts_as_failure(plan: Plan, status: int) -> bool:
    """Whether the site answers `status` by its own unavailable status. "Not here" says no, not "not
    now", unless the site learns from it and answers otherwise the next time."""
    rules = plan.rules
    if rules.unavailable_status is None or status not in rules.error_statuses:
        return False
    return status not in MISSING or plan.missing is not None


def bad_answer(message: str) -> UpstreamError:
    return UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, message)
