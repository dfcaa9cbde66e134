"""Everything around the records: EDNS, client subnets, cookies, sizes, limits, and what is no question."""

from ipaddress import ip_network
from typing import Any

import dns.edns
import dns.flags
import dns.message
import pytest
from dns_world import Server, answer_set, scope_of, subnet, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.router.dns_limit import LimitSettings
from edgeproxy.router.dns_map import AnswerMap, Ranges

SERVER = Server(nsid="edge-1", limit=LimitSettings(per_second=0))


def test_the_answer_has_the_id_and_the_case_of_the_question() -> None:
    query = dns.message.make_query("wWw.CDN.eXample", "A", id=4711)
    reply = SERVER.raw(query.to_wire())
    assert reply is not None
    assert reply[:2] == (4711).to_bytes(2, "big")
    assert b"\3wWw\3CDN\7eXample\0" in reply
    answer = dns.message.from_wire(reply)
    assert str(answer.answer[0].name) == "wWw.CDN.eXample."
    assert answer.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD


@pytest.mark.parametrize(
    ("name", "rtype", "rdclass"),
    [
        ("www.foreign.example", "A", "IN"),
        ("example", "NS", "IN"),
        (".", "NS", "IN"),
        ("www.cdn.example", "A", "CH"),
        ("version.bind", "TXT", "CH"),
        ("www.cdn.example", "A", "ANY"),
        ("cdn.example", "AXFR", "IN"),
        ("cdn.example", "IXFR", "IN"),
        ("cdn.example", "MAILB", "IN"),
    ],
)
def test_what_is_not_ours_is_refused_and_not_from_authority(name: str, rtype: str, rdclass: str) -> None:
    answer = SERVER.ask(name, rtype, rdclass=rdclass)
    assert answer.rcode().name == "REFUSED"
    assert not answer.flags & dns.flags.AA
    assert [answer.answer, answer.authority, answer.additional] == [[], [], []]


@pytest.mark.parametrize(
    ("told", "bits", "address", "scope"),
    [
        ("1.2.3.0", 24, "192.0.2.1", 1),
        ("200.2.3.0", 24, "192.0.2.3", 1),
        ("200.2.3.4", 32, "192.0.2.3", 1),
        ("128.0.0.0", 1, "192.0.2.3", 1),
        ("0.0.0.0", 0, "192.0.2.1", 0),
        ("2001:db8::", 56, "192.0.2.1", 1),
        ("8000::", 16, "192.0.2.3", 1),
        ("::", 0, "192.0.2.1", 0),
    ],
)
def test_a_client_subnet_decides_and_the_scope_says_for_whom(
    told: str, bits: int, address: str, scope: int
) -> None:
    answer = SERVER.ask("www.cdn.example", **subnet(told, bits))
    assert texts(answer)[0] == f"A {address}"
    option = next(one for one in answer.options if isinstance(one, dns.edns.ECSOption))
    assert (option.srclen, option.scopelen) == (bits, scope)
    assert option.addrdata == dns.edns.ECSOption(told, bits).addrdata


@pytest.mark.parametrize(
    ("name", "rtype"),
    [
        ("nx.cdn.example", "A"),
        ("www.cdn.example", "AAAA"),
        ("cdn.example", "SOA"),
        ("cdn.example", "NS"),
        ("x.sub.cdn.example", "A"),
        ("text.cdn.example", "TXT"),
        ("foreign.example", "A"),
    ],
)
def test_what_does_not_depend_on_the_client_has_scope_nought(name: str, rtype: str) -> None:
    assert scope_of(SERVER.ask(name, rtype, **subnet("200.2.3.0", 24))) == 0


def test_a_scope_may_be_longer_than_what_was_told_and_is_clamped() -> None:
    server = Server()
    one, other = answer_set("a", v4=["192.0.2.1"]), answer_set("b", v4=["192.0.2.2"])
    starts = [0, 0x01020000, 0x01020304, 0x01020305]
    server.answers.map = AnswerMap(Ranges(32, starts, [one, other, one, other]), Ranges(128, [0], [one]))
    assert scope_of(server.ask("www.cdn.example", **subnet("1.0.0.0", 8))) == 15
    answer = server.ask("www.cdn.example", **subnet("1.2.3.4", 32))
    assert (scope_of(answer), texts(answer)) == (24, ["A 192.0.2.2"])


@pytest.mark.parametrize(
    "content", ["0003180051", "000118514509", "0001180051450901", "0001170051450900", "00011818514509", "00"]
)
def test_a_client_subnet_out_of_form_is_a_form_error(content: str) -> None:
    option = dns.edns.GenericOption(8, bytes.fromhex(content))
    answer = SERVER.ask("www.cdn.example", use_edns=0, options=[option])
    assert (answer.rcode().name, answer.edns, scope_of(answer), texts(answer)) == ("FORMERR", 0, None, [])


def test_a_client_subnet_is_told_back_only_if_there_was_one_and_it_was_looked_at() -> None:
    assert scope_of(SERVER.ask("www.cdn.example", use_edns=0)) is None
    permitted = Server(subnet_from=(ip_network("192.0.2.0/24"),))
    far = permitted.ask("www.cdn.example", **subnet("200.2.3.0", 24))
    assert (scope_of(far), texts(far)) == (None, ["A 192.0.2.1"])
    near = permitted.ask("www.cdn.example", host="192.0.2.9", **subnet("1.2.3.0", 24))
    assert (scope_of(near), texts(near)) == (1, ["A 192.0.2.1"])
    assert scope_of(Server(use_subnet=False).ask("www.cdn.example", **subnet("1.2.3.0", 24))) is None


def test_without_a_client_subnet_the_resolver_stands_for_its_clients() -> None:
    assert texts(SERVER.ask("www.cdn.example", host="200.1.1.1"))[0] == "A 192.0.2.3"
    assert texts(SERVER.ask("www.cdn.example", host="::ffff:200.1.1.1"))[0] == "A 192.0.2.3"
    assert texts(SERVER.ask("www.cdn.example", host="2001:db8::1"))[0] == "A 192.0.2.1"


def test_edns_is_answered_with_edns_and_nothing_else_is() -> None:
    assert SERVER.ask("www.cdn.example").edns == -1
    answer = SERVER.ask("www.cdn.example", want_dnssec=True)
    assert (answer.edns, answer.payload, answer.ednsflags) == (0, 1232, dns.flags.DO)
    assert answer.options == ()


def test_another_version_of_edns_is_told_which_one_is_spoken() -> None:
    answer = SERVER.ask("www.cdn.example", use_edns=3)
    assert (answer.rcode().name, answer.edns, texts(answer)) == ("BADVERS", 0, [])


def test_the_server_tells_its_name_to_who_asks_for_it() -> None:
    wanting: dict[str, Any] = {"use_edns": 0, "options": [dns.edns.GenericOption(3, b"")]}
    assert [option.to_wire() for option in SERVER.ask("www.cdn.example", **wanting).options] == [b"edge-1"]
    assert Server().ask("www.cdn.example", **wanting).options == ()


def cookie_of(answer: dns.message.Message) -> bytes:
    return next(option.to_wire() or b"" for option in answer.options if option.otype == 10)


def with_cookie(cookie: bytes) -> dict[str, Any]:
    return {"use_edns": 0, "options": [dns.edns.GenericOption(10, cookie)]}


def test_a_client_with_our_cookie_has_no_limit_and_others_get_one() -> None:
    server = Server(limit=LimitSettings(per_second=1, burst_seconds=1, slip=1))
    cookie = cookie_of(server.ask("www.cdn.example", **with_cookie(b"12345678")))
    assert (len(cookie), cookie[:8]) == (24, b"12345678")
    for _ in range(5):
        assert texts(server.ask("www.cdn.example", **with_cookie(cookie))) == ["A 192.0.2.1"]
    limited = server.ask("www.cdn.example", **with_cookie(b"12345678"))
    assert limited.rcode().name == "BADCOOKIE"
    assert cookie_of(limited) == cookie


def test_alike_answers_are_limited_by_network_over_udp_only() -> None:
    server = Server(
        limit=LimitSettings(per_second=2, burst_seconds=1, slip=2), unlimited=(ip_network("9.9.9.9/32"),)
    )
    query = dns.message.make_query("www.cdn.example", "A").to_wire()
    found = [server.raw(query, "1.2.3.4") for _ in range(6)]
    assert [reply is None for reply in found] == [False, False, True, False, True, False]
    slipped = dns.message.from_wire(found[3] or b"")
    assert (slipped.flags & dns.flags.TC, texts(slipped)) == (dns.flags.TC, [])
    assert server.raw(query, "1.2.3.99") is None
    assert server.raw(query, "1.2.4.4") is not None
    assert server.raw(query, "1.2.3.4", "tcp") is not None
    assert all(server.raw(query, "9.9.9.9") for _ in range(10))
    assert texts(server.ask("text.cdn.example", "TXT")) == ['TXT "one" "two"']
    server.clock.now += 1
    assert server.raw(query, "1.2.3.4") is not None
    assert server.metrics.value("dns_limited_total", "dropped") == 3
    assert server.metrics.value("dns_limited_total", "slipped") == 2
    assert server.metrics.value("dns_truncated_total") == 0


def test_random_names_of_one_zone_share_a_limit() -> None:
    server = Server(limit=LimitSettings(per_second=5, burst_seconds=1, slip=0))
    replies = [server.raw(dns.message.make_query(f"x{n}.cdn.example", "A").to_wire()) for n in range(50)]
    assert sum(reply is not None for reply in replies) == 5


@pytest.mark.parametrize(
    ("size", "transport", "is_whole"),
    [
        (None, "udp", False),
        (512, "udp", False),
        (1232, "udp", False),
        (65535, "udp", False),
        (None, "tcp", True),
    ],
)
def test_what_is_too_large_comes_over_tcp(size: int | None, transport: str, is_whole: bool) -> None:
    more: dict[str, Any] = {} if size is None else {"use_edns": 0, "payload": size}
    answer = SERVER.ask("big.cdn.example", "TXT", transport=transport, **more)
    assert bool(answer.flags & dns.flags.TC) is not is_whole
    assert bool(texts(answer)) is is_whole
    assert answer.edns == (-1 if size is None else 0)


def test_an_answer_over_udp_has_as_many_bytes_as_the_client_takes_and_we_give() -> None:
    server = Server(udp_bytes_max=4096, limit=LimitSettings(per_second=0))
    assert texts(server.ask("big.cdn.example", "TXT", use_edns=0, payload=4096))
    assert not texts(server.ask("big.cdn.example", "TXT", use_edns=0, payload=1232))
    assert texts(server.ask("www.cdn.example", use_edns=0, payload=0))


def test_what_is_counted() -> None:
    server = Server()
    server.ask("www.cdn.example", **subnet("1.2.3.0", 24))
    server.ask("www.cdn.example", transport="tcp")
    server.ask("big.cdn.example", "TXT")
    server.raw(b"\0" * 12)
    server.raw(b"\0" * 5)
    counted = server.metrics.value
    assert counted("dns_answers_total", "NOERROR", "udp", "plain") == 2
    assert counted("dns_answers_total", "NOERROR", "tcp", "plain") == 1
    assert counted("dns_answers_total", "FORMERR", "udp", "odd") == 1
    assert counted("dns_truncated_total") == counted("dns_ignored_total") == 1
    assert counted("dns_subnets_total", "used") == 1


@settings(max_examples=300)
@given(st.data())
def test_no_packet_raises_and_every_answer_is_one_to_what_was_asked(data: Any) -> None:
    whole = dns.message.make_query(
        data.draw(
            st.sampled_from(["www.cdn.example", "x.tenant.cdn.example", "nx.cdn.example", "big.cdn.example"])
        ),
        data.draw(st.integers(1, 260)),
        **data.draw(
            st.sampled_from([{}, {"use_edns": 0}, subnet("200.2.3.0", 24), with_cookie(b"12345678")])
        ),
    ).to_wire()
    packet = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    sent = (
        bytes(packet[: data.draw(st.integers(0, len(packet)))]) if data.draw(st.booleans()) else bytes(packet)
    )
    reply = SERVER.raw(sent)
    is_query = len(sent) >= 12 and not sent[2] & 0x80
    assert (reply is not None) is is_query
    if reply is not None:
        answer = dns.message.from_wire(reply)
        assert answer.id == int.from_bytes(sent[:2], "big")
        assert answer.flags & dns.flags.QR
        assert len(reply) <= 1232


@given(st.binary(max_size=600))
def test_garbage_gets_a_header_at_most(data: bytes) -> None:
    reply = SERVER.raw(data)
    assert reply is None or len(reply) <= len(data) + 11
