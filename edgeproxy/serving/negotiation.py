"""From a finished TLS handshake to the protocol that ALPN chose (RFC 7301)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edgeproxy.message import Certified
from edgeproxy.serving import http1, http2
from edgeproxy.serving.service import Service


class MakeConnection(Protocol):
    """`client` is the address told by a PROXY header, "" without one; `certified` what the verified
    certificate of the client says."""

    def __call__(
        self, service: Service, peer: str, proxied: bool, *, client: str, certified: Certified | None
    ) -> asyncio.Protocol: ...


# In the order of our preference; a line here is all that another protocol needs.
PROTOCOLS: Mapping[str, MakeConnection] = {
    "h2": http2.Connection,
    "http/1.1": http1.Connection,
    "http/1.0": http1.Connection,
}
_WITHOUT_ALPN = "http/1.1"


class Negotiation(asyncio.Protocol):
    """Waits for the end of the handshake, then gives its place away. `describe` reads the certificate of the
    client, in DER."""

    def __init__(
        self, service: Service, peer: str, client: str, describe: Callable[[bytes], Certified]
    ) -> None:
        self._service = service
        self._peer = peer
        self._client = client
        self._describe = describe

    def connection_made(self, transport: Any) -> None:
        secured = transport.get_extra_info("ssl_object")
        der = secured.getpeercert(True)  # there is one only where it was asked for and verified
        make = PROTOCOLS[secured.selected_alpn_protocol() or _WITHOUT_ALPN]
        connection = make(
            self._service,
            self._peer,
            False,
            client=self._client,
            certified=self._describe(der) if der else None,
        )
        self._service.metrics.count("tls_handshakes_total", secured.version())
        transport.set_protocol(connection)
        connection.connection_made(transport)
