from typing import Any

import pytest

from edgeproxy.config import Config, Site
from edgeproxy.config_router import (
    Router,
    RouterCoverage,
    RouterDns,
    RouterNode,
    RouterRules,
    RouterSignals,
    RouterTls,
    RouterZone,
)
from edgeproxy.configuration.checks import check
from edgeproxy.errors import ConfigurationError

SECRET = "s" * 32
A, B = RouterNode(name="a", url="http://a.example"), RouterNode(name="b", url="http://b.example/cache")

ZONE = RouterZone(name="example", names=["cdn"], nameservers=["ns1"])


def router(**changes: Any) -> Config:
    whole = {"node": [A, B], **changes}
    return Config(
        site=[Site(name="files", mount="/", origin="http://127.0.0.1:9000")], router=Router(**whole)
    )


def node(**changes: Any) -> Config:
    return router(node=[A, RouterNode(**{"name": "c", "url": "http://c.example", **changes})])


def covered(**changes: Any) -> Config:
    return router(coverage=[RouterCoverage(**{"nodes": ["a"], "networks": ["10.0.0.0/8"], **changes})])


def dns(**changes: Any) -> Config:
    nodes = [RouterNode(name="a", url="http://a.example", addresses=["192.0.2.1", "2001:db8::1"])]
    return router(node=nodes, dns=RouterDns(**{"listen": ["127.0.0.1:53"], "zone": [ZONE], **changes}))


def zone(**changes: Any) -> Config:
    whole = {"name": "cdn.example", "nameservers": ["ns1.example."], **changes}
    return dns(zone=[RouterZone(**whole)])


@pytest.mark.parametrize(
    "good",
    [
        router(),
        router(node=[]),
        router(tls=RouterTls(pins=["A" * 43 + "=", "sha256//" + "A" * 43 + "="], certificate="/c", key="/k")),
        router(enabled=True, own="a", secret=SECRET),
        router(secret_file="/f", private=["/hf/acme", "/p/"]),
        router(endpoint="", countries=["DE", "FR"]),
        node(addresses=["192.0.2.1", "::1"], latitude=1.5, longitude=-2, country="DE", members=["a"]),
        covered(),
        covered(networks=[], countries=["DE"]),
        covered(networks=[], asns=[64500]),
        router(signals=RouterSignals(token="t", announced=["https://*.x"], routers=["http://r.example"])),
        dns(),
        zone(names=["@", "*.x", "www", "_x.y"], elsewhere=["192.0.2.1", "::1"]),
        zone(nameservers=[], records=["@ IN NS ns1.example."]),
        dns(cookie_secret="ab" * 16),
    ],
)
def test_what_can_work_is_accepted(good: Config) -> None:
    check(good)


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("router.tls.pins", router(tls=RouterTls(pins=["short"]))),
        ("router.tls.key", router(tls=RouterTls(certificate="/c"))),
        ("router.tls.certificate", router(tls=RouterTls(key="/k"))),
        ("router.node.c d", node(name="c d")),
        ("router.node.a", node(name="a")),
        ("router.node.c.url", node(url="")),
        ("router.node.c.url", node(url="http://user:secret@c.example")),
        ("router.node.c.addresses", node(addresses=["c.example"])),
        ("router.node.c.longitude", node(latitude=1.0)),
        ("router.node.c.country", node(country="de")),
        ("router.node.c.countries", node(countries=["Germany"])),
        ("router.node.c.members", node(members=["c"])),
        ("router.node.c.members", node(members=["nobody"])),
        ("router.coverage.1.nodes", covered(nodes=[])),
        ("router.coverage.1.nodes", covered(nodes=["nobody"])),
        ("router.coverage.1.networks", covered(networks=[])),
        ("router.coverage.1.countries", covered(countries=["x"])),
        (
            "router.coverage.2",
            router(coverage=[RouterCoverage(nodes=[name], networks=["10.0.0.0/8"]) for name in "ab"]),
        ),
        ("router.countries", router(countries=["EU", "world"])),
        ("router.secret", router(secret="short")),
        ("router.secret", router(secret=" " * 40)),
        ("router.secret_file", router(secret=SECRET, secret_file="/f")),
        ("router.secret", router(private=["/p"])),
        ("router.secret", router(enabled=True, own="a")),
        ("router.own", router(own="nobody")),
        ("router.own", router(enabled=True, secret=SECRET)),
        ("router.endpoint", router(endpoint="route/")),
        ("router.private", router(secret=SECRET, private=["p"])),
        ("router.rules.full", router(rules=RouterRules(full=0.9, overfull=0.8))),
        ("router.signals.token_file", router(signals=RouterSignals(token="t", token_file="/f"))),
        ("router.signals.token", router(signals=RouterSignals(token="a b"))),
        ("router.signals.token", router(signals=RouterSignals(announced=["https://*"]))),
        ("router.signals.token", router(signals=RouterSignals(routers=["http://r.example"]))),
        ("router.signals.missed", router(signals=RouterSignals(missed=0))),
        ("router.signals.routers", router(signals=RouterSignals(token="t", routers=["http://r/x"]))),
        ("router.dns.zone", dns(zone=[])),
        ("router.dns.zone.1.name", zone(name="CDN.example")),
        ("router.dns.zone.1.names", zone(names=["a b"])),
        ("router.dns.zone.1.nameservers", zone(nameservers=["-x.example"])),
        ("router.dns.zone.1.nameservers", zone(nameservers=[])),
        ("router.dns.zone.1.elsewhere", zone(elsewhere=["x"])),
        ("router.dns.cookie_secret", dns(cookie_secret="xyz")),
        ("router.dns.ttl_min", dns(ttl_min=90)),
        ("router.node.addresses", router(dns=RouterDns(listen=["127.0.0.1:53"], zone=[ZONE]))),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(path: str, bad: Config) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(bad)
    assert caught.value.path == path
    assert SECRET not in str(caught.value)
