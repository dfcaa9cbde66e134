"""Trouble, sorted by what a caller does about it: whose fault it is, which status the client
gets, and whether another upstream may be asked. Foreign exceptions become one of these at the
border where they appear, once."""

from __future__ import annotations

from enum import StrEnum


class EdgeError(Exception):
    """Anything this package raises on purpose. `str(error)` is one line a person can act on."""


class ConfigurationError(EdgeError):
    """A configuration that cannot be used; `path` is the dotted key, e.g. `cache.disk`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class StartError(EdgeError):
    """The node cannot start: port in use, directory not writable, second process on one store."""


class RequestError(EdgeError):
    """The client's message is unacceptable. The answer is `status` with one line of text."""

    def __init__(self, status: int, message: str, *, close: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.close = close


class ProxyError(StrEnum):
    """Error types of RFC 9209 section 2.3 that this node reports in Proxy-Status."""

    DNS_TIMEOUT = "dns_timeout"
    DNS_ERROR = "dns_error"
    DESTINATION_NOT_FOUND = "destination_not_found"
    DESTINATION_UNAVAILABLE = "destination_unavailable"
    DESTINATION_IP_PROHIBITED = "destination_ip_prohibited"
    DESTINATION_IP_UNROUTABLE = "destination_ip_unroutable"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TERMINATED = "connection_terminated"
    CONNECTION_TIMEOUT = "connection_timeout"
    CONNECTION_READ_TIMEOUT = "connection_read_timeout"
    CONNECTION_WRITE_TIMEOUT = "connection_write_timeout"
    CONNECTION_LIMIT_REACHED = "connection_limit_reached"
    TLS_PROTOCOL_ERROR = "tls_protocol_error"
    TLS_CERTIFICATE_ERROR = "tls_certificate_error"
    HTTP_RESPONSE_INCOMPLETE = "http_response_incomplete"
    HTTP_RESPONSE_HEADER_SECTION_SIZE = "http_response_header_section_size"
    HTTP_RESPONSE_BODY_SIZE = "http_response_body_size"
    HTTP_RESPONSE_TRANSFER_CODING = "http_response_transfer_coding"
    HTTP_RESPONSE_TIMEOUT = "http_response_timeout"
    HTTP_PROTOCOL_ERROR = "http_protocol_error"
    PROXY_INTERNAL_ERROR = "proxy_internal_error"
    PROXY_LOOP_DETECTED = "proxy_loop_detected"


_TIMEOUTS = frozenset(
    {
        ProxyError.DNS_TIMEOUT,
        ProxyError.CONNECTION_TIMEOUT,
        ProxyError.CONNECTION_READ_TIMEOUT,
        ProxyError.HTTP_RESPONSE_TIMEOUT,
    }
)


class UpstreamError(EdgeError):
    """An upstream failed. `sent` tells whether any byte of the request may have reached it: if not,
    even an unsafe request may be sent again elsewhere (RFC 9110 section 9.2.2)."""

    def __init__(self, error: ProxyError, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.error = error
        self.sent = sent

    @property
    def status(self) -> int:
        if self.error is ProxyError.PROXY_LOOP_DETECTED:
            return 508
        if self.error is ProxyError.DESTINATION_UNAVAILABLE:
            return 503
        return 504 if self.error in _TIMEOUTS else 502


class StorageError(EdgeError):
    """The store could not read or write. Never reaches a client: it becomes a miss or a response
    that is not stored, and is counted."""


class BodyAborted(EdgeError):
    """A body ended before its proven end while being read. The connection must be broken visibly."""
