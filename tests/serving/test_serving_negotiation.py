"""After the handshake: which protocol, and who the client is."""

import asyncio
from typing import Any

import pytest
from serving_stand import Serve, Served
from stands.authority import Authority, Issued
from stands.raw_client import RawAnswer, RawClient, fetch

from edgeproxy.config import Tls
from edgeproxy.message import BytesBody, Request, Response
from edgeproxy.serving import http2
from edgeproxy.serving.http1 import Connection
from edgeproxy.serving.negotiation import PROTOCOLS

LISTEN: dict[str, Any] = {"http": ["127.0.0.1:0"], "https": ["127.0.0.1:0"]}


class Seen:
    """A handler that remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, body=BytesBody(b"seen"))


async def ask(
    served: Served, authority: Authority, own: Issued | None = None, alpn: tuple[str, ...] = ()
) -> RawAnswer:
    context = authority.client(own, alpn)
    return await asyncio.to_thread(lambda: fetch(served.secure_address, "/a", context=context))


@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h3", "http/1.0"), ("h3", "http/1.1", "http/1.0")])
async def test_every_offer_we_know_is_served(
    serve: Serve, tls: Tls, authority: Authority, alpn: tuple[str, ...]
) -> None:
    seen = Seen()
    served = await serve(seen, tls=tls, **LISTEN)
    assert (await ask(served, authority, alpn=alpn)).body == b"seen"
    assert seen.requests[0].scheme == "https"
    assert seen.requests[0].certified is None


def test_http_1_1_is_what_is_spoken_without_negotiation() -> None:
    assert PROTOCOLS["http/1.1"] is Connection
    assert next(iter(PROTOCOLS)) == "h2"
    assert PROTOCOLS["h2"] is http2.Connection


@pytest.mark.parametrize("engine", ["", "fallback", "socket"])
@pytest.mark.parametrize("wanted", ["optional", "required"])
async def test_a_verified_client_is_known_to_the_handler(
    serve: Serve, tls: Tls, authority: Authority, wanted: Any, engine: str
) -> None:
    tls = Tls(
        certificate=tls.certificate, key=tls.key, client_ca=str(authority.file), client_certificates=wanted
    )
    seen = Seen()
    served = await serve(seen, tls=tls, engine=engine, **LISTEN)
    edge = authority.issue("edge-1", ["edge-1.example"])
    assert (await ask(served, authority, edge)).body == b"seen"
    certified = seen.requests[0].certified
    assert certified is not None
    assert certified.names == ("edge-1.example",)
    assert certified.subject == "CN=edge-1"
    assert len(certified.fingerprint) == 64


async def test_who_has_no_certificate_or_a_wrong_one(
    serve: Serve, tls: Tls, authority: Authority, tmp_path: Any
) -> None:
    stranger = Authority(tmp_path, "another authority").issue("stranger", ["edge-1.example"])
    seen = Seen()
    files = {"certificate": tls.certificate, "key": tls.key, "client_ca": str(authority.file)}
    optional = await serve(seen, tls=Tls(client_certificates="optional", **files), **LISTEN)
    required = await serve(seen, tls=Tls(client_certificates="required", **files), **LISTEN)
    assert (await ask(optional, authority)).body == b"seen"
    assert seen.requests.pop().certified is None
    for served, own in ((required, None), (required, stranger), (optional, stranger)):
        failed = served.failures("certificate")
        answer = await ask(served, authority, own)
        assert (answer.status, answer.ended) == (0, "reset")
        assert served.failures("certificate") == failed + 1
    expired = authority.issue("old", ["old.example"], begins=-9, days=3)
    assert (await ask(required, authority, expired)).status == 0
    assert seen.requests == []


async def test_a_node_may_be_admitted_by_its_own_certificate(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    one, other = authority.issue("one", ["one.example"]), authority.issue("other", ["other.example"])
    only = one.certificate.read_text().partition("-----END CERTIFICATE-----")
    listed = one.certificate.with_name("listed.pem")
    listed.write_text("".join(only[:2]) + "\n")
    tls = Tls(certificate=tls.certificate, key=tls.key, client_ca=str(listed), client_certificates="required")
    served = await serve(Seen(), tls=tls, **LISTEN)
    assert (await ask(served, authority, one)).status == 200
    assert (await ask(served, authority, other)).status == 0


async def test_answers_to_known_clients_are_not_remembered_for_others(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    """The memo answers without asking the handler, which may decide by the certificate."""
    made: list[Connection] = []

    class Watched(Connection):
        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

    tls = Tls(
        certificate=tls.certificate,
        key=tls.key,
        client_ca=str(authority.file),
        client_certificates="optional",
    )
    served = await serve(tls=tls, **LISTEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS, "http/1.1", Watched)  # type: ignore[arg-type]
        await ask(served, authority)
        await ask(served, authority, authority.issue("edge-1"))
    assert [connection._memorable for connection in made] == [True, False]


async def test_http_2_is_not_taken_from_a_client_that_did_not_negotiate_it(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    """The connection would no longer know who its client is; RFC 9113 section 3.2 asks for ALPN."""
    served = await serve(tls=tls, **LISTEN)

    def talk() -> RawAnswer:
        with RawClient(served.secure_address, context=authority.client()) as client:
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            return client.read()

    assert (await asyncio.to_thread(talk)).status in (400, 505)
