"""From a configuration to a chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from upstream_raw_origin import Loopback, RawOrigin
from upstream_town import request

from edgeproxy.config import Config, Listen, Parent, Siblings, Site, UpstreamSection
from edgeproxy.errors import ConfigurationError, UpstreamError
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.assembly import build_chain, egress_of, files_of
from edgeproxy.upstream.candidate import Role
from edgeproxy.upstream.chain import Chain
from edgeproxy.upstream.egress import EgressProxy

Build = Callable[..., Chain]


@pytest.fixture
async def build(names: Loopback) -> AsyncIterator[Build]:
    chains: list[Chain] = []

    def made(**sections: Any) -> Chain:
        config = Config(site=[Site(name="files", mount="/", origin="http://origin.test")], **sections)
        tasks = Tasks(lambda _, error: None)
        chain = build_chain(config, names, metrics=Metrics(), tasks=tasks, report=lambda _: None)
        chains.append(chain)
        return chain

    yield made
    for chain in chains:
        await chain.aclose()


async def test_everybody_is_there_under_the_configured_name(build: Build) -> None:
    chain = build(
        parent=[
            Parent(url="https://up.example:8443", region="eu"),
            Parent(name="near", url="http://10.0.0.1", preference=-1),
        ],
        siblings=Siblings(nodes=["http://a.example", "http://b.example"], own="http://a.example"),
    )
    assert [(row.name, row.role, row.url, row.region) for row in chain.states()] == [
        ("b.example", Role.SIBLING, "http://b.example", ""),
        ("up.example:8443", Role.PARENT, "https://up.example:8443", "eu"),
        ("near", Role.PARENT, "http://10.0.0.1", ""),
    ]
    assert [one.name for one in chain.select(request()).order][-3:] == ["near", "up.example:8443", "origin"]


async def test_the_origin_can_be_forbidden(build: Build) -> None:
    chain = build(parent=[Parent(name="up", url="http://up")], upstream=UpstreamSection(origin="never"))
    assert [one.name for one in chain.select(request()).order] == ["up"]


async def test_tokens_and_identities_come_from_files(build: Build, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "pem").write_text("x")
    pem = str(tmp_path / "pem")
    chain = build(
        parent=[
            Parent(
                name="up",
                url="https://up",
                token_file=str(tmp_path / "token"),
                ca_file=pem,
                certificate=pem,
                key=pem,
                pins=["a" * 43 + "=", "sha256//" + "b" * 43 + "="],
            )
        ]
    )
    (one,) = chain._remotes.values()
    assert one.token == "secret"
    assert one.reach.identity == (f"sha256//{'a' * 43}=;sha256//{'b' * 43}=", pem, pem)
    assert "secret" not in repr(chain)


@pytest.mark.parametrize(
    ("key", "text"), [("token_file", None), ("token_file", "a b"), ("token_file", ""), ("ca_file", None)]
)
async def test_files_that_do_not_do_are_refused_with_their_key(
    build: Build, tmp_path: Path, key: str, text: str | None
) -> None:
    path = tmp_path / "file"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        build(parent=[Parent(name="up", url="https://up", **{key: str(path)})])
    assert caught.value.path == f"parent.up.{key}"


def test_a_file_that_is_replaced_is_another_one(tmp_path: Path) -> None:
    token, pem = tmp_path / "token", tmp_path / "pem"
    token.write_text("secret\n")
    config = Config(
        parent=[Parent(url="https://up", token_file=str(token))],
        siblings=Siblings(nodes=["https://a"], own="https://b", ca_file=str(pem)),
    )
    before = files_of(config)
    assert [name for name, _, _ in before] == [str(pem), str(token)]
    assert files_of(config) == before
    pem.write_text("x")
    now = files_of(config)
    assert now != before
    (tmp_path / "new").write_text("other\n")
    (tmp_path / "new").rename(token)
    assert files_of(config) not in (before, now)


async def test_the_chain_asks_real_upstreams(build: Build, origin: RawOrigin) -> None:
    origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    chain = build(parent=[Parent(name="up", url=origin.origin.url, token="t")])
    for bulk in (False, True):
        response = await chain.fetch(request(bulk=bulk))
        assert b"".join([piece async for piece in response.chunks()]) == b"ok"
        await response.aclose()
        assert response.source == "up"
    head = origin.heads[0]
    assert head.startswith(b"GET /a HTTP/1.1\r\nHost: origin.test\r\n")
    assert b"Proxy-Authorization: Bearer t\r\n" in head
    assert origin.connections == 2, "bulk and small share a connection"


async def test_a_pinned_key_admits_only_itself(
    build: Build, origin: RawOrigin, certificate: Any, pin_of: Callable[[Path], str]
) -> None:
    path, context = certificate
    tls = RawOrigin()
    await tls.start(context)
    tls.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    try:
        for pin, is_accepted in ((pin_of(path), True), ("a" * 43 + "=", False)):
            url = f"https://localhost:{tls.port}"
            never = UpstreamSection(origin="never")
            chain = build(parent=[Parent(name="up", url=url, verify_tls=False, pins=[pin])], upstream=never)
            if is_accepted:
                await (await chain.fetch(request())).aclose()
            else:
                with pytest.raises(UpstreamError, match="curl 90"):
                    await chain.fetch(request())
    finally:
        await tls.stop()


@pytest.fixture
def pin_of() -> Callable[[Path], str]:
    """The pin of the key of a certificate in a file, as `openssl` and curl tell it."""
    import base64
    import hashlib

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def pin(path: Path) -> str:
        key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    return pin


def test_the_way_out_is_that_of_the_environment_and_never_this_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    lines: list[str] = []
    found = egress_of(Config(), lines.append).to("https", "a.example", 443)
    assert (found, lines) == (EgressProxy("127.0.0.1", 3128), [])
    own = Config(listen=Listen(proxy=["0.0.0.0:3128"]))
    assert egress_of(own, lines.append).to("https", "a.example", 443) is None
    assert lines == ["HTTPS_PROXY is left out: 127.0.0.1:3128 is this node"]
