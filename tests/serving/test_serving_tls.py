"""What handshakes are done with."""

import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from stands.authority import Authority, Issued

from edgeproxy.config import Sni, Tls
from edgeproxy.errors import ConfigurationError
from edgeproxy.serving.tls import Contexts, Sources, load

NOW = time.time()


def loaded(tmp_path: Path, **tls: Any) -> Contexts:
    return load(Sources(Tls(**tls), tmp_path, ("localhost",)), ("http/1.1",), NOW)


def own(issued: Issued) -> dict[str, str]:
    return {"certificate": str(issued.certificate), "key": str(issued.key)}


class Pair:
    """Both ends of a handshake in memory."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None
    ) -> None:
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(inward, outward, True)
        self.client = client.wrap_bio(outward, inward, False, name, session)
        for turn in range(8):
            end = self.server if turn % 2 else self.client
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
        self.server.write(b"x")
        assert self.client.read(1) == b"x"  # the tickets have come before it


def names(context: ssl.SSLContext, authority: Authority, asked: str) -> list[str]:
    certificate: Any = Pair(context, authority.client(), asked).client.getpeercert()
    return [name for _, name in certificate["subjectAltName"]]


def test_the_certificate_is_chosen_by_name(authority: Authority, tmp_path: Path) -> None:
    node = authority.issue("node", ["node.example", "*.any.example"])
    wild, exact = authority.issue("wild", ["*.w.example"]), authority.issue("exact", ["a.w.example"])
    contexts = loaded(tmp_path, **own(node), sni=[Sni(**own(wild)), Sni(**own(exact))])
    for asked, held in [
        ("node.example", "node.example"),
        ("x.any.example", "node.example"),
        ("b.w.example", "*.w.example"),
        ("a.w.example", "a.w.example"),
    ]:
        assert names(contexts.choose(asked), authority, asked)[0] == held
    for asked in ("", "w.example", "b.a.w.example", "elsewhere", "*.w.example.x"):
        assert contexts.choose(asked) is contexts.default


def test_names_can_be_told_in_place_of_the_certificates(authority: Authority, tmp_path: Path) -> None:
    other = Sni(**own(authority.issue("other", ["other.example"])), names=["told.example"])
    contexts = loaded(tmp_path, **own(authority.issue("node")), sni=[other])
    assert contexts.choose("told.example") is not contexts.default
    assert contexts.choose("other.example") is contexts.default


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_of_one_certificate_cannot_be_taken_up_under_another(
    authority: Authority, tmp_path: Path, version: str
) -> None:
    contexts = loaded(
        tmp_path,
        **own(authority.issue("a", ["a.example"])),
        sni=[Sni(**own(authority.issue("b", ["b.example"])))],
    )
    client = authority.client()
    client.maximum_version = ssl.TLSVersion[version]
    client.check_hostname = False  # the client of this test is not as careful as it should be
    session = Pair(contexts.choose("a.example"), client, "a.example").client.session
    assert Pair(contexts.choose("a.example"), client, "a.example", session).client.session_reused
    assert not Pair(contexts.choose("b.example"), client, "b.example", session).client.session_reused


def test_early_data_and_weak_ciphers_are_not_offered(authority: Authority, tmp_path: Path) -> None:
    contexts = loaded(tmp_path, **own(authority.issue("node")))
    offered = contexts.default.get_ciphers()
    assert offered
    assert [cipher["name"] for cipher in offered if not cipher["aead"]] == []
    assert contexts.default.options & ssl.OP_NO_RENEGOTIATION
    assert contexts.default.num_tickets == 1
    assert contexts.minimum == 0x0303
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE+AES+SHA256")  # CBC
    with pytest.raises(ssl.SSLError):
        Pair(contexts.default, client, "localhost")


def test_only_1_3_if_that_is_wanted(authority: Authority, tmp_path: Path) -> None:
    contexts = loaded(tmp_path, **own(authority.issue("node")), minimum="1.3")
    assert contexts.minimum == 0x0304
    client = authority.client()
    assert Pair(contexts.default, client, "localhost").client.version() == "TLSv1.3"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Pair(contexts.default, client, "localhost")


def test_the_first_end_of_all_certificates_is_known(authority: Authority, tmp_path: Path) -> None:
    contexts = loaded(
        tmp_path, **own(authority.issue("long", days=50)), sni=[Sni(**own(authority.issue("short", days=5)))]
    )
    assert abs(contexts.expires - NOW - 4 * 86400) < 3600


def test_clients_are_asked_only_if_that_is_wanted(authority: Authority, tmp_path: Path) -> None:
    node = own(authority.issue("node"))
    ca = {"client_ca": str(authority.file)}
    assert loaded(tmp_path, **node).default.verify_mode == ssl.CERT_NONE
    for wanted, mode in (("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)):
        assert loaded(tmp_path, **node, **ca, client_certificates=wanted).default.verify_mode == mode


def test_a_file_that_cannot_be_used_is_named_by_its_place(authority: Authority, tmp_path: Path) -> None:
    node, other = own(authority.issue("node")), own(authority.issue("other"))
    for tls, option in [
        ({**node, "key": other["key"]}, "tls.key"),
        (
            {**node, "sni": [Sni(**other), Sni(certificate=other["certificate"], key=node["key"])]},
            "tls.sni.2.key",
        ),
        ({**node, "sni": [Sni(certificate="/absent")]}, "tls.sni.1.certificate"),
        ({"certificate": node["certificate"]}, "tls.certificate"),  # no key within
        ({**node, "client_ca": "/absent", "client_certificates": "required"}, "tls.client_ca"),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            loaded(tmp_path, **tls)
        assert caught.value.path == option


def test_every_file_that_is_read_is_watched(authority: Authority, tmp_path: Path) -> None:
    sources = Sources(
        Tls(
            certificate="a",
            sni=[Sni(certificate="b", key="c")],
            client_ca="d",
            client_certificates="required",
        ),
        tmp_path,
    )
    assert sources.paths() == ["a", "b", "c", "d"]
    assert Sources(Tls(self_signed=True), tmp_path).paths() == [
        str(tmp_path / "tls" / "self-signed.pem"),
        str(tmp_path / "tls" / "self-signed.key"),
    ]


def test_a_certificate_of_the_nodes_own_is_made(tmp_path: Path) -> None:
    contexts = loaded(tmp_path, self_signed=True)
    client = ssl.create_default_context(cafile=str(tmp_path / "tls" / "self-signed.pem"))
    assert Pair(contexts.choose("localhost"), client, "localhost").client.version() == "TLSv1.3"
