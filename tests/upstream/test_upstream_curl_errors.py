"""libcurl's codes in the words of RFC 9209, by how far the exchange had come."""

import pycurl
import pytest

from edgeproxy.errors import ProxyError
from edgeproxy.upstream.curl_errors import NOTHING_CAME_BACK, upstream_error


@pytest.mark.parametrize(
    ("code", "before", "waiting", "in_body"),
    [
        (
            pycurl.E_OPERATION_TIMEDOUT,
            ProxyError.CONNECTION_TIMEOUT,
            ProxyError.HTTP_RESPONSE_TIMEOUT,
            ProxyError.CONNECTION_READ_TIMEOUT,
        ),
        (
            pycurl.E_RECV_ERROR,
            ProxyError.CONNECTION_TERMINATED,
            ProxyError.CONNECTION_TERMINATED,
            ProxyError.CONNECTION_TERMINATED,
        ),
        (
            pycurl.E_PARTIAL_FILE,
            ProxyError.PROXY_INTERNAL_ERROR,
            ProxyError.HTTP_RESPONSE_INCOMPLETE,
            ProxyError.HTTP_RESPONSE_INCOMPLETE,
        ),
        (
            pycurl.E_COULDNT_CONNECT,  # waiting: libcurl asked again by itself, and nobody listens any more
            ProxyError.CONNECTION_REFUSED,
            ProxyError.CONNECTION_REFUSED,
            ProxyError.HTTP_RESPONSE_INCOMPLETE,
        ),
        (
            pycurl.E_HTTP2,
            ProxyError.HTTP_PROTOCOL_ERROR,
            ProxyError.HTTP_PROTOCOL_ERROR,
            ProxyError.HTTP_RESPONSE_INCOMPLETE,
        ),
        (
            9999,
            ProxyError.PROXY_INTERNAL_ERROR,
            ProxyError.PROXY_INTERNAL_ERROR,
            ProxyError.HTTP_RESPONSE_INCOMPLETE,
        ),
    ],
)
def test_one_code_means_what_the_moment_makes_of_it(
    code: int, before: ProxyError, waiting: ProxyError, in_body: ProxyError
) -> None:
    assert upstream_error(code, "", sent=False, in_body=False).error is before
    assert upstream_error(code, "", sent=True, in_body=False).error is waiting
    assert upstream_error(code, "", sent=True, in_body=True).error is in_body


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (pycurl.E_COULDNT_RESOLVE_HOST, ProxyError.DNS_ERROR),
        (pycurl.E_COULDNT_CONNECT, ProxyError.CONNECTION_REFUSED),
        (pycurl.E_SSL_CONNECT_ERROR, ProxyError.TLS_PROTOCOL_ERROR),
        (pycurl.E_PEER_FAILED_VERIFICATION, ProxyError.TLS_CERTIFICATE_ERROR),
    ],
)
def test_failures_to_connect_have_their_own_words(code: int, error: ProxyError) -> None:
    assert upstream_error(code, "", sent=False, in_body=False).error is error


@pytest.mark.parametrize("sent", [True, False])
def test_the_error_tells_whether_the_request_had_left(sent: bool) -> None:
    assert upstream_error(pycurl.E_RECV_ERROR, "", sent=sent, in_body=False).sent is sent


@pytest.mark.parametrize("message", ["", "reset by peer"])
def test_the_text_holds_the_code_and_is_never_empty(message: str) -> None:
    text = str(upstream_error(56, message, sent=True, in_body=False))
    assert "curl 56" in text
    assert (message or "transfer failed") in text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            f"Failed to connect to [::1]:80 via {'a1' * 20}.invalid:80 after 0 ms: Refused",
            "Failed to connect to [::1]:80 after 0 ms: Refused (curl 7)",
        ),
        ("Failed to connect to a.invalid", "Failed to connect to a.invalid (curl 7)"),
    ],
)
def test_names_we_made_up_are_not_told(message: str, shown: str) -> None:
    assert str(upstream_error(7, message, sent=False, in_body=False)) == shown


def test_a_timeout_is_never_taken_for_a_connection_that_had_gone_stale() -> None:
    assert pycurl.E_OPERATION_TIMEDOUT not in NOTHING_CAME_BACK
    assert {pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR} <= NOTHING_CAME_BACK
