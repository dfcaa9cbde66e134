"""A zone, a few nodes, and questions about them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar, cast

import dns.edns
import dns.message
import dns.rdatatype
from router_world import COUNTRIES, PLACES, node

from edgeproxy.metrics import Metrics
from edgeproxy.router.client import Address, Client, Whereabouts, identify
from edgeproxy.router.decide import Decision
from edgeproxy.router.dns_answers import DnsAnswers
from edgeproxy.router.dns_cookies import CookieJar, Secrets
from edgeproxy.router.dns_limit import ResponseLimit
from edgeproxy.router.dns_map import AnswerMap, AnswerSet, Ranges
from edgeproxy.router.dns_settings import DnsSettings, RoutedName, ZoneSettings
from edgeproxy.router.dns_territory import Areas
from edgeproxy.router.dns_zone_text import read_zones
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.snapshot import Snapshot

RECORDS = """
@        NS   ns1
@        NS   ns.elsewhere.example.
@        CAA  0 issue "ca.example"
ns1      A    192.0.2.53
ns1      AAAA 2001:db8::53
text     TXT  "one" "two"
alias    CNAME www
far      CNAME www.elsewhere.example.
gone     CNAME nowhere
*.wild   A    192.0.2.99
a.b.deep TXT  "below nothing"
sub      NS   ns.sub
sub      DS   12345 13 2 49FD46E6C4B45C55D4AC69CBD3CD34AC1AFE51DE6A5B1D9D4B2BA7B9A7C6D7E1
ns.sub   A    192.0.2.77
big      TXT  {big}
""".format(big=" ".join(f'"{"x" * 200}{number}"' for number in range(12)))
ROUTED = (
    RoutedName("www", alpn=("h2", "http/1.1"), port=8443, elsewhere=("198.51.100.1",)),
    RoutedName("@"),
    RoutedName("*.tenant"),
)
ZONE = ZoneSettings("cdn.example", RECORDS, ROUTED)

V4 = {"berlin": "192.0.2.1", "paris": "192.0.2.2", "tokyo": "192.0.2.3", "denver": "192.0.2.4"}
V6 = {"berlin": "2001:db8::1", "tokyo": "2001:db8::3"}
NOW = 1_700_000_000.0


def dns_nodes(**changes: Any) -> tuple[RouteNode, ...]:
    """Berlin and Tokyo have both families, Paris and Denver IPv4 only. `changes` by name: a node's fields."""
    found = []
    for name, address in V4.items():
        addresses = (address, V6[name]) if name in V6 else (address,)
        found.append(node(name, **({"addresses": addresses} | changes.get(name, {}))))
    return tuple(found)


class Continents:
    """A territory of five: the first byte of an IPv4 address tells, IPv6 is Berlin's."""

    CITIES = ("", "berlin", "tokyo", "sydney", "denver")
    PLACES = PLACES | {"berlin": Place(51.5, 10.0)}  # Berlin's clients are not too far from Paris

    def __init__(self) -> None:
        kinds = tuple(
            Whereabouts(COUNTRIES[city], self.PLACES[city]) if city else Whereabouts() for city in self.CITIES
        )
        starts = [0, 10 << 24, 60 << 24, 100 << 24, 150 << 24, 224 << 24]
        self._areas = {4: Areas(starts, [0, 1, 2, 3, 4, 0], kinds), 6: Areas([0, 1 << 120], [0, 1], kinds)}

    def areas(self, version: int) -> Areas:
        return self._areas[version]

    def whereabouts(self, address: Address) -> Whereabouts:
        areas = self._areas[address.version]
        at = max(index for index, start in enumerate(areas.starts) if start <= int(address))
        return areas.kinds[areas.indexes[at]]


class StaticRouting:
    """The map as it was told; the test changes it."""

    def __init__(self, snapshot: Snapshot, territory: Continents) -> None:
        self.snapshot = snapshot
        self.decisions: list[tuple[Client, Decision]] = []
        self._territory = territory
        self._watchers: list[Callable[[], None]] = []

    def client(self, address: Address | None, *, bits: int | None = None) -> Client:
        return identify(address, self._territory, bits=bits)

    def decided(self, client: Client, decision: Decision) -> None:
        self.decisions.append((client, decision))

    def complained(self, client: Client, node: str, *, lasts: bool = False) -> None:
        raise NotImplementedError

    def excluded(self, client: Client) -> frozenset[str]:
        return frozenset()

    def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    def change(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        for changed in self._watchers:
            changed()


T = TypeVar("T")


def done(steps: Generator[None, None, T]) -> T:
    """What comes of work in steps, all of them at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def two_halves() -> AnswerMap:
    """The lower half of all addresses is Berlin's, the upper Tokyo's."""
    berlin = answer_set("berlin", v4=("192.0.2.1",), v6=("2001:db8::1",))
    tokyo = answer_set("tokyo", v4=("192.0.2.3", "192.0.2.4"))
    return AnswerMap(
        Ranges(32, [0, 1 << 31], [berlin, tokyo]), Ranges(128, [0, 1 << 127], [berlin, tokyo]), 1, NOW
    )


def answer_set(*nodes: str, v4: Iterable[str] = (), v6: Iterable[str] = (), **more: Any) -> AnswerSet:
    return AnswerSet(
        nodes,
        tuple(IPv4Address(text).packed for text in v4),
        tuple(_packed6(text) for text in v6),
        **({"ttl": 30} | more),
    )


def _packed6(text: str) -> bytes:
    return IPv6Address(text).packed


class Server:
    """Answers without sockets."""

    def __init__(self, *, zones: tuple[ZoneSettings, ...] = (ZONE,), **changes: Any) -> None:
        self.metrics, self.clock = Metrics(), Clock()
        self.settings = DnsSettings((), zones, **changes)
        self.answers = DnsAnswers(
            self.settings,
            read_zones(zones),
            CookieJar(Secrets((b"0123456789abcdef",))),
            ResponseLimit(self.settings.limit, self.clock.now),
            self.metrics,
            self.clock,
        )
        self.answers.map = two_halves()

    def raw(self, data: bytes, host: str = "1.2.3.4", transport: str = "udp") -> bytes | None:
        return self.answers.answer(data, host, transport)

    def ask(
        self, name: str, rtype: str = "A", *, host: str = "1.2.3.4", transport: str = "udp", **more: Any
    ) -> dns.message.Message:
        query = dns.message.make_query(name, rtype, **more)
        reply = self.raw(query.to_wire(), host, transport)
        assert reply is not None
        answer = dns.message.from_wire(reply)
        assert query.is_response(answer)
        return answer


def subnet(text: str, bits: int) -> dict[str, Any]:
    return {"use_edns": 0, "options": [dns.edns.ECSOption(text, bits)]}


def texts(answer: dns.message.Message, section: str = "answer") -> list[str]:
    """The records of a section as "type rdata", in their order."""
    return [
        f"{dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in getattr(answer, section)
        for rdata in rrset
    ]


def scope_of(answer: dns.message.Message) -> int | None:
    for option in answer.options:
        if isinstance(option, dns.edns.ECSOption):
            return option.scopelen
    return None
