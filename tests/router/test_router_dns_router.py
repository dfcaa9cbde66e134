"""The whole DNS router on real sockets: asked by dnspython, and by dig where it is installed."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import dns.message
import pytest
import uvloop
from dns_world import RECORDS, ROUTED, ZONE, Clock, Continents, StaticRouting, dns_nodes

from edgeproxy.metrics import Metrics
from edgeproxy.router.dns_router import DnsRouter
from edgeproxy.router.dns_settings import DnsSettings, ZoneSettings
from edgeproxy.router.dns_zone_text import UnusableZone
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import Snapshot
from edgeproxy.tasks import Tasks

needs_dig = pytest.mark.skipif(shutil.which("dig") is None, reason="dig (bind9-dnsutils) is not installed")


class World:
    """A router that answers, and what is told of it."""

    def __init__(self, listen: tuple[str, ...], **changes: Any) -> None:
        self.failures: list[str] = []
        self.metrics = Metrics()
        self.routing = StaticRouting(Snapshot(dns_nodes()), Continents())
        self.tasks = Tasks(self._report)
        self.settings = DnsSettings(listen, (ZONE,), nsid="edge-1", **changes)
        self.router = DnsRouter(
            self.settings,
            self.routing,
            Continents(),
            self.tasks,
            self.metrics,
            Clock(),
            self._report,
        )

    def _report(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what}: {error!r}")

    def place(self, number: int = 0) -> tuple[str, int]:
        host, _, port = self.router.listened[number].rpartition(":")
        return host.strip("[]"), int(port)

    def addresses(self, host: str, name: str = "www.cdn.example") -> list[str]:
        reply = self.router.answer(dns.message.make_query(name, "A").to_wire(), host, "tcp")
        assert reply is not None
        return [str(rdata) for rrset in dns.message.from_wire(reply).answer for rdata in rrset]

    async def until(self, host: str, first: str) -> None:
        """Until that address comes first in the answer to `host`."""
        await waited(lambda: self.addresses(host)[0] == first)


async def waited(found: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not found():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(("127.0.0.1:0", "[::1]:0"))
    await made.router.start()
    yield made
    await made.router.aclose()
    await made.tasks.aclose()
    assert made.failures == []


async def dig(world: World, *words: str, number: int = 0) -> str:
    host, port = world.place(number)
    # A cookie is random, and holds any two letters sooner or later.
    command = ["dig", f"@{host}", "-p", str(port), "+tries=1", "+time=20", "+nocookie", *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output.decode()


@needs_dig
@pytest.mark.parametrize(
    ("words", "expected", "missing"),
    [
        (
            "www.cdn.example A +subnet=70.1.1.0/24",
            ["NOERROR", "192.0.2.3", "CLIENT-SUBNET: 70.1.1.0/24/2"],
            [],
        ),
        (
            "www.cdn.example A +subnet=20.1.1.0/24 +tcp",
            ["192.0.2.1", "CLIENT-SUBNET: 20.1.1.0/24/", "(TCP)"],
            [],
        ),
        ("www.cdn.example A +subnet=2001:db8::/56", ["192.0.2.1", "CLIENT-SUBNET: 2001:db8::/56/"], []),
        ("www.cdn.example A +subnet=0", ["NOERROR", "CLIENT-SUBNET: 0.0.0.0/0/0"], []),
        ("www.cdn.example AAAA +subnet=70.1.1.0/24", ["2001:db8::3"], []),
        ("www.cdn.example A +noedns", ["NOERROR", "flags: qr aa rd;"], ["EDNS", "COOKIE"]),
        ("www.cdn.example A +nsid", ['("edge-1")'], []),
        ("www.cdn.example A +cookie", ["COOKIE: ", "(good)"], []),
        ("www.cdn.example A +edns=1 +noednsneg", ["BADVERS"], []),
        ("www.cdn.example A +opcode=NOTIFY", ["NOTIMP"], []),
        ("www.cdn.example ANY +notcp", ['HINFO\t"RFC8482" ""'], []),
        ("www.cdn.example ANY", ['HINFO\t"RFC8482" ""', "(TCP)"], []),
        ("www.cdn.example TYPE65280", ["NOERROR", "ANSWER: 0, AUTHORITY: 1", "SOA"], []),
        ("www.cdn.example HTTPS", ['alpn="h2,http/1.1"', "ipv4hint=192.0.2."], []),
        ("www.foreign.example A", ["REFUSED"], ["aa"]),
        ("wWw.cDn.eXample A", ["wWw.cDn.eXample."], []),
        ("cdn.example SOA +dnssec", ["flags: do", "hostmaster.cdn.example."], []),
        ("nx.cdn.example A", ["NXDOMAIN", "SOA"], []),
        ("big.cdn.example TXT", ["(TCP)", "ANSWER: 1"], ["communications error"]),
        ("cdn.example AXFR", ["Transfer failed"], []),
        ("version.bind TXT CH", ["REFUSED"], []),
    ],
)
async def test_dig_is_answered(world: World, words: str, expected: list[str], missing: list[str]) -> None:
    found = await dig(world, *words.split())
    assert [text for text in expected if text not in found] == [], found
    assert [text for text in missing if text in found.partition("Got answer")[2]] == [], found


@needs_dig
async def test_dig_is_answered_over_ipv6(world: World) -> None:
    assert "192.0.2.1" in await dig(world, "www.cdn.example", number=1)
    assert "192.0.2.1" in await dig(world, "www.cdn.example", "+tcp", number=1)


async def test_a_node_that_dies_is_out_of_all_answers_at_once_and_comes_back(world: World) -> None:
    assert world.addresses("70.1.1.1") == ["192.0.2.3"]
    before = world.addresses("20.1.1.1")
    assert before[0] == "192.0.2.1"
    world.routing.change(Snapshot(dns_nodes(tokyo={"state": NodeState.DOWN}), generation=1))
    await world.until("70.1.1.1", "192.0.2.1")
    assert world.addresses("20.1.1.1") == before
    assert "192.0.2.3" not in world.addresses("70.1.1.1")
    world.routing.change(Snapshot(dns_nodes(), generation=2))
    await world.until("70.1.1.1", "192.0.2.3")


async def test_the_map_is_made_anew_without_being_told() -> None:
    world = World(("127.0.0.1:0",), map_seconds=0.05)
    await world.router.start()
    world.routing.snapshot = Snapshot(dns_nodes(tokyo={"state": NodeState.DRAINING}))
    await world.until("70.1.1.1", "192.0.2.1")
    await world.router.aclose()


async def test_a_map_that_cannot_be_made_leaves_the_old_one() -> None:
    world = World(("127.0.0.1:0",), map_seconds=0.05)
    await world.router.start()
    world.routing.snapshot = None  # type: ignore[assignment]
    await waited(lambda: world.metrics.value("dns_maps_total", "failed"))
    assert world.addresses("70.1.1.1") == ["192.0.2.3"]
    assert world.failures[0].startswith("dns map: ")
    world.routing.snapshot = Snapshot(dns_nodes(tokyo={"state": NodeState.DOWN}))
    await world.until("70.1.1.1", "192.0.2.1")
    await world.router.aclose()


async def test_decisions_to_keep_are_told_to_who_keeps_them(world: World) -> None:
    told = {client.group: decision.node.name for client, decision in world.routing.decisions if decision.node}
    assert told[("JP", 7, 27)] == "tokyo"


async def test_other_zones_are_used_from_the_next_query_on(world: World) -> None:
    other = ZoneSettings("cdn.example", RECORDS + "\nextra A 192.0.2.200", ROUTED)
    world.router.use(replace(world.settings, zones=(other,)))
    assert world.addresses("20.1.1.1", "extra.cdn.example") == ["192.0.2.200"]
    assert world.addresses("70.1.1.1") == ["192.0.2.3"]
    with pytest.raises(UnusableZone):
        world.router.use(replace(world.settings, zones=(ZoneSettings("cdn.example", "nonsense"),)))
    assert world.addresses("20.1.1.1", "extra.cdn.example") == ["192.0.2.200"]


async def test_closing_leaves_no_task_and_no_socket() -> None:
    world = World(("127.0.0.1:0",))
    await world.router.start()
    host, port = world.place()
    await world.router.aclose()
    await world.router.aclose()
    await waited(lambda: not len(world.tasks))
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((host, port))


async def test_an_address_that_cannot_be_had_is_an_error_and_leaves_nothing_open(world: World) -> None:
    host, port = world.place()
    second = World(("127.0.0.1:0", f"{host}:{port}"))
    with pytest.raises(OSError, match="in use"):
        await second.router.start()
    assert len(second.tasks) == 0


def test_it_works_on_the_loop_that_nodes_run_on() -> None:
    async def journey() -> None:
        world = World(("127.0.0.1:0",))
        await world.router.start()
        host, port = world.place()
        query = dns.message.make_query("www.cdn.example", "A").to_wire()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(len(query).to_bytes(2, "big") + query)
        async with asyncio.timeout(20):
            length = int.from_bytes(await reader.readexactly(2), "big")
            over_tcp = await reader.readexactly(length)
        writer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            client.sendto(query, (host, port))
            over_udp = await asyncio.to_thread(client.recv, 4096)
        assert over_tcp == over_udp
        await world.router.aclose()
        await world.tasks.aclose()
        assert world.failures == []

    uvloop.run(journey())
