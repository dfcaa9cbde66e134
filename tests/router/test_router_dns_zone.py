"""What a zone says, asked in the terms of the DNS."""

import pytest
from dns_world import RECORDS, ROUTED, ZONE, Server, answer_set, texts

from edgeproxy.router.dns_map import AnswerMap, AnswerSet, Ranges
from edgeproxy.router.dns_settings import RoutedName, ZoneSettings

SERVER = Server()
SOA = "SOA ns1.cdn.example. hostmaster.cdn.example. 1 3600 600 604800 60"


@pytest.mark.parametrize(
    ("name", "rtype", "rcode", "answer", "authority"),
    [
        ("www", "A", "NOERROR", ["A 192.0.2.1"], []),
        ("www", "AAAA", "NOERROR", ["AAAA 2001:db8::1"], []),
        (
            "www",
            "HTTPS",
            "NOERROR",
            ['HTTPS 1 . alpn="h2,http/1.1" port="8443" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"'],
            [],
        ),
        ("@", "A", "NOERROR", ["A 192.0.2.1"], []),
        ("@", "HTTPS", "NOERROR", [], [SOA]),
        ("@", "SOA", "NOERROR", [SOA], []),
        ("@", "CAA", "NOERROR", ['CAA 0 issue "ca.example"'], []),
        ("www", "TXT", "NOERROR", [], [SOA]),
        ("www", "TYPE65280", "NOERROR", [], [SOA]),
        ("text", "TXT", "NOERROR", ['TXT "one" "two"'], []),
        ("text", "ANY", "NOERROR", ['HINFO "RFC8482" ""'], []),
        ("www", "ANY", "NOERROR", ['HINFO "RFC8482" ""'], []),
        ("nx", "A", "NXDOMAIN", [], [SOA]),
        ("x.www", "A", "NXDOMAIN", [], [SOA]),
        ("nx", "ANY", "NXDOMAIN", [], [SOA]),
        ("deep", "A", "NOERROR", [], [SOA]),
        ("b.deep", "A", "NOERROR", [], [SOA]),
        ("c.deep", "A", "NXDOMAIN", [], [SOA]),
        ("alias", "A", "NOERROR", ["CNAME www.cdn.example.", "A 192.0.2.1"], []),
        ("alias", "CNAME", "NOERROR", ["CNAME www.cdn.example."], []),
        ("alias", "ANY", "NOERROR", ["CNAME www.cdn.example."], []),
        ("alias", "TXT", "NOERROR", ["CNAME www.cdn.example."], [SOA]),
        ("far", "A", "NOERROR", ["CNAME www.elsewhere.example."], []),
        ("gone", "A", "NXDOMAIN", ["CNAME nowhere.cdn.example."], [SOA]),
        ("a.wild", "A", "NOERROR", ["A 192.0.2.99"], []),
        ("a.b.wild", "A", "NOERROR", ["A 192.0.2.99"], []),
        ("a.wild", "TXT", "NOERROR", [], [SOA]),
        ("wild", "A", "NOERROR", [], [SOA]),
        ("one.tenant", "A", "NOERROR", ["A 192.0.2.1"], []),
        ("one.tenant", "AAAA", "NOERROR", ["AAAA 2001:db8::1"], []),
        ("sub", "A", "NOERROR", [], ["NS ns.sub.cdn.example."]),
        ("x.sub", "A", "NOERROR", [], ["NS ns.sub.cdn.example."]),
        ("ns.sub", "A", "NOERROR", [], ["NS ns.sub.cdn.example."]),
    ],
)
def test_a_question_has_this_answer(
    name: str, rtype: str, rcode: str, answer: list[str], authority: list[str]
) -> None:
    whole = "cdn.example." if name == "@" else f"{name}.cdn.example."
    found = SERVER.ask(whole, rtype)
    assert found.rcode().name == rcode
    assert texts(found) == answer
    assert texts(found, "authority") == authority


def test_what_is_delegated_is_not_ours_but_for_ds() -> None:
    referral = SERVER.ask("x.sub.cdn.example", "A")
    assert not referral.flags & 0x0400
    assert texts(referral, "additional") == ["A 192.0.2.77"]
    ours = SERVER.ask("sub.cdn.example", "DS")
    assert ours.flags & 0x0400
    assert [text.split()[0] for text in texts(ours)] == ["DS"]


def test_name_servers_come_with_their_addresses() -> None:
    found = SERVER.ask("cdn.example", "NS")
    assert sorted(texts(found)) == ["NS ns.elsewhere.example.", "NS ns1.cdn.example."]
    assert sorted(texts(found, "additional")) == ["A 192.0.2.53", "AAAA 2001:db8::53"]


def test_a_family_that_the_nodes_lack_is_nodata_for_as_long_as_the_answer_would_hold() -> None:
    found = SERVER.ask("www.cdn.example", "AAAA", host="203.0.113.1")
    assert (texts(found), texts(found, "authority")) == ([], [SOA])
    assert found.authority[0].ttl == 30


def test_negative_answers_live_as_long_as_the_zone_says() -> None:
    zone = ZoneSettings("cdn.example", "@ NS ns1\n@ 900 SOA ns1 root 7 1 1 1 120")
    assert Server(zones=(zone,)).ask("nx.cdn.example").authority[0].ttl == 120


def everywhere(answers: AnswerSet) -> AnswerMap:
    return AnswerMap(Ranges(32, [0], [answers]), Ranges(128, [0], [answers]))


def test_where_no_node_may_serve_it_is_a_failure_that_resolvers_bridge() -> None:
    server = Server()
    server.answers.map = everywhere(answer_set())
    found = server.ask("www.cdn.example")
    assert (found.rcode().name, texts(found), texts(found, "authority")) == ("SERVFAIL", [], [])
    assert texts(server.ask("text.cdn.example", "TXT")) == ['TXT "one" "two"']


def test_clients_of_countries_that_are_not_served_go_elsewhere_where_the_name_says_so() -> None:
    server = Server()
    for answers in (answer_set("berlin", v4=["192.0.2.1"], is_elsewhere=True), answer_set(is_elsewhere=True)):
        server.answers.map = everywhere(answers)
        assert texts(server.ask("www.cdn.example")) == ["A 198.51.100.1"]
        assert texts(server.ask("www.cdn.example", "AAAA")) == []
        assert 'ipv4hint="198.51.100.1"' in texts(server.ask("www.cdn.example", "HTTPS"))[0]
    server.answers.map = everywhere(answer_set("berlin", v4=["192.0.2.1"], is_elsewhere=True))
    assert texts(server.ask("cdn.example")) == ["A 192.0.2.1"]


def test_a_zone_within_a_zone_answers_for_its_own_names() -> None:
    child = ZoneSettings("sub.cdn.example", "@ NS ns1\n@ TXT child", (RoutedName("www"),))
    server = Server(zones=(ZONE, child))
    assert texts(server.ask("sub.cdn.example", "TXT")) == ['TXT "child"']
    assert texts(server.ask("www.sub.cdn.example")) == ["A 192.0.2.1"]
    assert server.ask("ns.sub.cdn.example").rcode().name == "NXDOMAIN"
    assert texts(server.ask("www.cdn.example")) == ["A 192.0.2.1"]


def test_a_zone_of_many_names_answers_for_each() -> None:
    many = "".join(f"host{number} A 192.0.2.{number % 250}\n" for number in range(2000))
    server = Server(zones=(ZoneSettings("cdn.example", RECORDS + many, ROUTED),))
    assert texts(server.ask("host1999.cdn.example")) == ["A 192.0.2.249"]
