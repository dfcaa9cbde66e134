from typing import Any

import pytest

from edgeproxy.config import Admin, Config, Listen, Node, Section, Site, Sni, Tls, default_sites
from edgeproxy.configuration.checks import check
from edgeproxy.errors import ConfigurationError


def generic(**changes: Any) -> Site:
    return Site(**{"name": "files", "mount": "/files", "origin": "http://127.0.0.1:9000", **changes})


def config(*parts: Section) -> Config:
    named = {type(part).__name__.lower(): part for part in parts if not isinstance(part, Site)}
    return Config(site=[part for part in parts if isinstance(part, Site)], **named)


GOOD = [
    config(),
    config(default_sites()[0], generic()),
    config(Admin(listen="")),
    config(Admin(listen="0.0.0.0:0", token="t")),
    config(Admin(listen="unix:/run/admin")),
    config(Node(workers="auto")),
    config(generic(mount="", hosts=["a.example:8080"])),
    config(generic(hosts=["a"]), generic(name="other", hosts=["b"])),
    config(generic(), generic(name="other", hosts=["b"])),
    config(generic(mount="/"), default_sites()[0]),
    config(Listen(http=["127.0.0.1:0", "127.0.0.1:0"])),
    config(generic(rewrite=[["/a", "/b"]])),
    config(Listen(https=["127.0.0.1:8443"]), Tls(self_signed=True)),
    config(Listen(http=[], https=["127.0.0.1:0", "127.0.0.1:0"]), Tls(certificate="c")),
    config(Tls(certificate="c", key="k", client_ca="a", client_certificates="required")),
    config(Tls(certificate="c", sni=[Sni(certificate="d", names=["a.example", "*.b.example", "localhost"])])),
]


@pytest.mark.parametrize("good", GOOD)
def test_what_can_work_is_accepted(good: Config) -> None:
    check(good)


BAD = [
    ("listen.http", config(Listen(http=[]))),
    ("listen.http", config(Listen(http=["127.0.0.1:1", "127.0.0.1:1"]))),
    ("listen.http", config(Listen(http=[""]))),
    ("listen.https", config(Listen(https=["127.0.0.1:8080"]), Tls(self_signed=True))),
    ("listen.https", config(Listen(https=[""]), Tls(self_signed=True))),
    ("tls.certificate", config(Listen(https=["127.0.0.1:8443"]))),
    ("tls.certificate", config(Tls(key="k"))),
    ("tls.self_signed", config(Tls(certificate="c", self_signed=True))),
    ("tls.client_ca", config(Tls(certificate="c", client_certificates="optional"))),
    ("tls.client_certificates", config(Tls(certificate="c", client_ca="a"))),
    ("tls.sni.1.certificate", config(Tls(certificate="c", sni=[Sni(certificate="")]))),
    ("tls.sni.1.names", config(Tls(certificate="c", sni=[Sni(certificate="d", names=["A.example"])]))),
    ("tls.sni.1.names", config(Tls(certificate="c", sni=[Sni(certificate="d", names=["a.*.example"])]))),
    ("listen.node_tokens", config(Listen(node_tokens=["fine", "not fine"]))),
    ("listen.node_tokens", config(Listen(node_tokens=[""]))),
    ("admin.token", config(Admin(listen="0.0.0.0:8081"))),
    ("admin.token", config(Admin(listen="[::]:8081"))),
    ("admin.token", config(Admin(listen="edge.example:8081"))),
    ("admin.token", config(Admin(token="a\nb"))),
    ("admin.hosts", config(Admin(hosts=["Upper"]))),
    ("node.workers", config(Node(workers=257))),
    ("node.workers", config(Node(workers=0))),
    ("node.name", config(Node(name="a b"))),
    ("site.a b", config(generic(name="a b"))),
    ("site.", config(generic(name=""))),
    ("site.files.kind", config(generic(kind="genric"))),
    ("site.files.origin", config(generic(origin=""))),
    ("site.files.mount", config(generic(mount=""))),
    ("site.files.mount", config(generic(mount="files"))),
    ("site.files.mount", config(generic(mount="/files/"))),
    ("site.files.mount", config(generic(mount="/a/../b"))),
    ("site.files.mount", config(generic(mount="/a?b"))),
    ("site.files.hosts", config(generic(hosts=["UPPER"]))),
    ("site.files.hosts", config(generic(hosts=["a/b"]))),
    ("site.files.rewrite", config(generic(rewrite=[["/a"]]))),
    ("site.files.rewrite", config(generic(rewrite=[["a", "/b"]]))),
    ("site.files.vary_ignore", config(generic(vary_ignore=["a b"]))),
    ("site.files.credentials_file", config(generic(credentials="static"))),
    ("site.other.mount", config(generic(), generic(name="other"))),
    ("site.other.mount", config(generic(hosts=["a", "b"]), generic(name="other", hosts=["b", "c"]))),
]


@pytest.mark.parametrize(("path", "bad"), BAD)
def test_what_cannot_work_is_refused_with_its_key(path: str, bad: Config) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(bad)
    assert caught.value.path == path


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean generic"):
        check(config(generic(kind="genric")))


def test_the_token_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(config(Admin(token="sec ret")))
    assert "sec ret" not in str(caught.value)
