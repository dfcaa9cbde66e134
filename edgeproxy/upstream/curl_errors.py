"""What libcurl says, in the words of RFC 9209: the one place where its error codes are read."""

from __future__ import annotations

import re

from edgeproxy.errors import ProxyError, UpstreamError

_TOO_LARGE = 100  # CURLE_TOO_LARGE: a header line beyond libcurl's own bound; pycurl has no name for it

# Codes of curl/curl.h, which never change meaning.
_BEFORE_REQUEST: dict[int, ProxyError] = {
    3: ProxyError.DESTINATION_NOT_FOUND,  # URL_MALFORMAT
    6: ProxyError.DNS_ERROR,  # COULDNT_RESOLVE_HOST
    7: ProxyError.CONNECTION_REFUSED,  # COULDNT_CONNECT
    16: ProxyError.HTTP_PROTOCOL_ERROR,  # HTTP2
    28: ProxyError.CONNECTION_TIMEOUT,  # OPERATION_TIMEDOUT
    35: ProxyError.TLS_PROTOCOL_ERROR,  # SSL_CONNECT_ERROR
    52: ProxyError.CONNECTION_TERMINATED,
    53: ProxyError.TLS_PROTOCOL_ERROR,  # SSL_ENGINE_NOTFOUND
    55: ProxyError.CONNECTION_TERMINATED,
    56: ProxyError.CONNECTION_TERMINATED,
    58: ProxyError.TLS_CERTIFICATE_ERROR,  # SSL_CERTPROBLEM
    59: ProxyError.TLS_PROTOCOL_ERROR,  # SSL_CIPHER
    60: ProxyError.TLS_CERTIFICATE_ERROR,  # PEER_FAILED_VERIFICATION
    77: ProxyError.TLS_CERTIFICATE_ERROR,  # SSL_CACERT_BADFILE
    83: ProxyError.TLS_CERTIFICATE_ERROR,  # SSL_ISSUER_ERROR
    89: ProxyError.CONNECTION_LIMIT_REACHED,  # NO_CONNECTION_AVAILABLE
    90: ProxyError.TLS_CERTIFICATE_ERROR,  # SSL_PINNEDPUBKEYNOTMATCH
    91: ProxyError.TLS_CERTIFICATE_ERROR,  # SSL_INVALIDCERTSTATUS
    92: ProxyError.HTTP_PROTOCOL_ERROR,  # HTTP2_STREAM
}
_BEFORE_HEAD: dict[int, ProxyError] = {
    1: ProxyError.HTTP_PROTOCOL_ERROR,  # UNSUPPORTED_PROTOCOL: HTTP/0.9
    8: ProxyError.HTTP_PROTOCOL_ERROR,  # WEIRD_SERVER_REPLY
    16: ProxyError.HTTP_PROTOCOL_ERROR,  # HTTP2
    18: ProxyError.HTTP_RESPONSE_INCOMPLETE,  # PARTIAL_FILE
    28: ProxyError.HTTP_RESPONSE_TIMEOUT,
    52: ProxyError.CONNECTION_TERMINATED,  # GOT_NOTHING
    55: ProxyError.CONNECTION_TERMINATED,  # SEND_ERROR
    56: ProxyError.CONNECTION_TERMINATED,  # RECV_ERROR
    61: ProxyError.HTTP_PROTOCOL_ERROR,  # BAD_CONTENT_ENCODING: an unknown transfer coding
    63: ProxyError.HTTP_RESPONSE_BODY_SIZE,  # FILESIZE_EXCEEDED
    92: ProxyError.HTTP_PROTOCOL_ERROR,  # HTTP2_STREAM
    95: ProxyError.HTTP_PROTOCOL_ERROR,  # HTTP3
    _TOO_LARGE: ProxyError.HTTP_RESPONSE_HEADER_SECTION_SIZE,
}
_IN_BODY: dict[int, ProxyError] = {
    8: ProxyError.HTTP_PROTOCOL_ERROR,
    16: ProxyError.HTTP_RESPONSE_INCOMPLETE,
    18: ProxyError.HTTP_RESPONSE_INCOMPLETE,
    28: ProxyError.CONNECTION_READ_TIMEOUT,
    55: ProxyError.CONNECTION_TERMINATED,
    56: ProxyError.CONNECTION_TERMINATED,
    92: ProxyError.HTTP_RESPONSE_INCOMPLETE,
    95: ProxyError.HTTP_RESPONSE_INCOMPLETE,
    _TOO_LARGE: ProxyError.HTTP_RESPONSE_HEADER_SECTION_SIZE,
}

# Ends of a connection that had not answered: the request may be sent once more (RFC 9112 section 9.3.1).
NOTHING_CAME_BACK = frozenset({16, 52, 55, 56, 92})


# Names under which libcurl is handed the addresses we have chosen: nobody's business.
_OUR_NAME = re.compile(r" via [0-9a-f]{40}\.invalid(?: port|:)? ?[0-9]{1,5}")
_OUR_NAME_ALONE = re.compile(r"[0-9a-f]{40}\.invalid")  # that of a proxy


def upstream_error(code: int, message: str, *, sent: bool, in_body: bool) -> UpstreamError:
    """`sent`: the request had begun to leave; `in_body`: the response head had arrived. libcurl repeats by
    itself what was lost with a kept connection, so what has left once may end by a connection that cannot be
    opened."""
    if in_body:
        error = _IN_BODY.get(code, ProxyError.HTTP_RESPONSE_INCOMPLETE)
    elif sent and code in _BEFORE_HEAD:
        error = _BEFORE_HEAD[code]
    else:
        error = _BEFORE_REQUEST.get(code, ProxyError.PROXY_INTERNAL_ERROR)
    said = _OUR_NAME_ALONE.sub("the proxy", _OUR_NAME.sub("", message)) or "transfer failed"
    return UpstreamError(error, f"{said} (curl {code})", sent=sent)
