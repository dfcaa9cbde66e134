import pytest

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.upstream.candidate import ORIGIN, Candidate, Role
from edgeproxy.upstream.candidate_health import Trouble
from edgeproxy.upstream.verdict import FINAL, of_break, of_error, of_response

UP = Candidate("up", Role.PARENT)
MIRROR = Candidate("mirror", Role.PARENT, is_mirror=True)
RELAYED = Headers((("Proxy-Status", "top; error=connection_refused"),))
PLAIN = Headers()


@pytest.mark.parametrize(
    ("candidate", "method", "status", "fields", "is_final", "trouble", "may_stand"),
    [
        (UP, "GET", 200, PLAIN, True, None, True),
        (UP, "GET", 404, PLAIN, True, None, True),
        (UP, "GET", 500, PLAIN, True, None, True),
        (UP, "GET", 407, PLAIN, False, Trouble.LOCKED, False),
        (UP, "POST", 407, PLAIN, False, Trouble.LOCKED, False),
        (UP, "GET", 421, PLAIN, False, None, False),
        (UP, "GET", 508, PLAIN, False, None, False),
        (UP, "GET", 502, PLAIN, False, Trouble.FAILED, True),
        (UP, "GET", 503, RELAYED, False, None, False),
        (UP, "POST", 503, PLAIN, True, None, True),
        (MIRROR, "GET", 404, PLAIN, False, None, True),
        (MIRROR, "GET", 200, PLAIN, True, None, True),
        (ORIGIN, "GET", 503, PLAIN, True, None, True),
        (ORIGIN, "GET", 407, PLAIN, True, None, True),
    ],
)
def test_what_a_response_is_worth(
    candidate: Candidate,
    method: str,
    status: int,
    fields: Headers,
    is_final: bool,
    trouble: Trouble | None,
    may_stand: bool,
) -> None:
    verdict = of_response(candidate, method, status, fields)
    assert (verdict.is_final, verdict.trouble, verdict.may_stand) == (is_final, trouble, may_stand)
    assert verdict is FINAL or verdict.why


@pytest.mark.parametrize(
    ("error", "sent", "method", "was_silent", "has_body", "is_final", "trouble"),
    [
        (ProxyError.CONNECTION_REFUSED, False, "GET", True, False, False, Trouble.UNREACHABLE),
        (ProxyError.CONNECTION_REFUSED, False, "POST", True, True, False, Trouble.UNREACHABLE),
        (ProxyError.CONNECTION_REFUSED, True, "GET", True, False, False, Trouble.UNREACHABLE),
        (ProxyError.TLS_CERTIFICATE_ERROR, False, "GET", True, False, False, Trouble.UNREACHABLE),
        (ProxyError.HTTP_RESPONSE_TIMEOUT, True, "GET", True, False, False, Trouble.SILENT),
        (ProxyError.HTTP_RESPONSE_TIMEOUT, True, "GET", False, False, False, Trouble.FAILED),
        (ProxyError.HTTP_RESPONSE_TIMEOUT, True, "POST", True, False, True, Trouble.SILENT),
        (ProxyError.CONNECTION_TERMINATED, True, "PUT", False, True, True, Trouble.FAILED),
        (ProxyError.HTTP_PROTOCOL_ERROR, True, "HEAD", False, False, False, Trouble.FAILED),
        (ProxyError.CONNECTION_LIMIT_REACHED, False, "GET", True, False, False, None),
        (ProxyError.PROXY_INTERNAL_ERROR, False, "GET", True, False, True, None),
    ],
)
def test_what_an_error_says(
    error: ProxyError,
    sent: bool,
    method: str,
    was_silent: bool,
    has_body: bool,
    is_final: bool,
    trouble: Trouble | None,
) -> None:
    came = UpstreamError(error, "scripted", sent=sent)
    verdict = of_error(UP, method, came, was_silent=was_silent, has_body=has_body)
    assert (verdict.is_final, verdict.trouble) == (is_final, trouble)
    assert "scripted" in verdict.why


def test_only_what_costs_the_upstream_something_is_charged() -> None:
    refused = UpstreamError(ProxyError.CONNECTION_REFUSED, "", sent=False)
    late = UpstreamError(ProxyError.HTTP_RESPONSE_TIMEOUT, "")
    assert not of_error(UP, "GET", refused, was_silent=True, has_body=False).is_charged
    assert of_error(UP, "GET", late, was_silent=True, has_body=False).is_charged
    assert of_response(UP, "GET", 503, PLAIN).is_charged
    assert not of_response(UP, "GET", 508, PLAIN).is_charged


def test_a_body_that_stalls_while_nothing_else_comes_is_silence() -> None:
    stalled = UpstreamError(ProxyError.CONNECTION_READ_TIMEOUT, "")
    cut = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "")
    assert of_break(stalled, was_silent=True) is Trouble.SILENT
    assert of_break(stalled, was_silent=False) is Trouble.FAILED
    assert of_break(cut, was_silent=True) is Trouble.FAILED
