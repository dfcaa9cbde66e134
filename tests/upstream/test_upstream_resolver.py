"""The resolver against a small name server that does what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest

from edgeproxy.config import UpstreamSection
from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.upstream.resolver import Resolver


class NameServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.rcode: dns.rcode.Rcode | None = None
        self.silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        name, kind = str(query.question[0].name).rstrip("."), str(query.question[0].rdtype.name)
        self.asked.append((name, kind))
        if self.silent:
            return
        response = dns.message.make_response(query)
        records = self.answers.get((name, kind), [])
        known = any(key[0] == name for key in self.answers)
        response.set_rcode(self.rcode or (dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN))
        if records and self.rcode is None:
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *records))
        self.transport.sendto(response.to_wire(), address)


class Stand:
    def __init__(self, server: NameServer, port: int, path: Path) -> None:
        self.server, self.now = server, 0.0
        hosts = path / "hosts"
        hosts.write_text("192.0.2.7 fixed.example # x\n")
        settings = UpstreamSection(nameservers=[f"127.0.0.1:{port}"], connect_timeout=0.4, dns_stale=1000.0)
        self.resolver = Resolver(
            settings, timer=lambda: self.now, hosts_path=hosts, resolv_conf=path / "missing"
        )

    async def ask(self, host: str) -> Any:
        try:
            return [str(address) for address in await self.resolver.resolve(host)]
        except UpstreamError as error:
            assert not error.sent  # noqa: PT017 - the error is the value here
            return error.error


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 0))
    server.answers = {("a.example", "A"): ["192.0.2.1"], ("a.example", "AAAA"): ["2001:db8::1"]}
    made = Stand(server, transport.get_extra_info("sockname")[1], tmp_path)
    yield made
    await made.resolver.aclose()
    transport.close()


async def test_both_families_are_asked_once_for_any_number_of_askers(stand: Stand) -> None:
    answers = await asyncio.gather(*(stand.ask("A.example.") for _ in range(20)))
    assert answers == [["2001:db8::1", "192.0.2.1"]] * 20
    assert sorted(stand.server.asked) == [("a.example", "A"), ("a.example", "AAAA")]


async def test_an_answer_is_asked_again_after_its_ttl(stand: Stand) -> None:
    await stand.ask("a.example")
    stand.server.answers[("a.example", "A")] = ["192.0.2.2"]
    stand.now = 59.0
    assert await stand.ask("a.example") == ["2001:db8::1", "192.0.2.1"]
    stand.now = 61.0
    assert await stand.ask("a.example") == ["2001:db8::1", "192.0.2.2"]


@pytest.mark.parametrize(("silent", "rcode"), [(True, None), (False, dns.rcode.SERVFAIL)])
async def test_a_known_name_outlives_its_servers_but_not_for_ever(
    stand: Stand, silent: bool, rcode: dns.rcode.Rcode | None
) -> None:
    await stand.ask("a.example")
    stand.server.silent, stand.server.rcode = silent, rcode
    stand.now = 900.0
    assert await stand.ask("a.example") == ["2001:db8::1", "192.0.2.1"]
    stand.now = 1100.0
    assert await stand.ask("a.example") in (ProxyError.DNS_TIMEOUT, ProxyError.DNS_ERROR)


async def test_a_denial_is_believed_and_remembered_briefly(stand: Stand) -> None:
    assert await stand.ask("no.example") is ProxyError.DESTINATION_NOT_FOUND
    count = len(stand.server.asked)
    assert await stand.ask("no.example") is ProxyError.DESTINATION_NOT_FOUND
    assert len(stand.server.asked) == count
    stand.now = 6.0
    await stand.ask("no.example")
    assert len(stand.server.asked) > count


async def test_literals_localhost_and_the_hosts_file_need_no_server(stand: Stand) -> None:
    assert await stand.ask("192.0.2.9") == ["192.0.2.9"]
    assert await stand.ask("0x7f.1") == ["127.0.0.1"]
    assert await stand.ask("::1") == ["::1"]
    assert await stand.ask("localhost") == ["127.0.0.1", "::1"]
    assert await stand.ask("fixed.example") == ["192.0.2.7"]
    assert await stand.ask("name.123") is ProxyError.DESTINATION_NOT_FOUND
    assert stand.server.asked == []


async def test_without_any_name_server_names_fail_and_literals_work(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    resolver = Resolver(UpstreamSection(), hosts_path=missing, resolv_conf=missing)
    assert await resolver.resolve("127.0.0.1") == (ip_address("127.0.0.1"),)
    with pytest.raises(UpstreamError) as caught:
        await resolver.resolve("a.example")
    assert caught.value.error is ProxyError.DNS_ERROR


async def test_a_cancelled_asker_does_not_take_the_answer_from_others(stand: Stand) -> None:
    first = asyncio.create_task(stand.ask("a.example"))
    second = asyncio.create_task(stand.ask("a.example"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["2001:db8::1", "192.0.2.1"]
