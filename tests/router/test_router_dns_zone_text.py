import dns.rdata
import pytest

from edgeproxy.router.dns_settings import RoutedName, ZoneSettings
from edgeproxy.router.dns_zone_text import UnusableZone, read_zone, read_zones

NS = "@ NS ns1\n"


def test_records_are_those_of_a_zone_file() -> None:
    zone = read_zone(
        ZoneSettings("CDN.example.", NS + "$TTL 60\nWWW IN A 192.0.2.1\n  AAAA 2001:db8::1 ; a comment")
    )
    assert zone.origin == b"\3cdn\7example\0"
    match = zone.names[b"\3www\3cdn\7example\0"].match(1)
    assert [(one.ttl, one.rdata) for one in match.sections.answers] == [(60, (bytes((192, 0, 2, 1)),))]


def test_a_missing_soa_is_made_with_the_first_name_server() -> None:
    soa = read_zone(ZoneSettings("cdn.example", NS)).names[b"\3cdn\7example\0"].match(6).sections.answers[0]
    text = str(dns.rdata.from_wire(1, 6, soa.rdata[0], 0, len(soa.rdata[0])))
    assert text == "ns1.cdn.example. hostmaster.cdn.example. 1 3600 600 604800 60"


@pytest.mark.parametrize(
    ("records", "routed", "why"),
    [
        ("", (), "no NS record"),
        (NS + "www A 300.1.1.1", (), "cdn.example"),
        (NS + "www A", (), "cdn.example"),
        (NS + "$INCLUDE other", (), "cdn.example"),
        (NS + "x.other.example. A 192.0.2.1\nwww CNAME a\nwww A 192.0.2.1", (), "CNAME"),
        (NS + "www DNAME a.example.", (), "DNAME"),
        (NS + "a CNAME b\nb CNAME a", (), "circle"),
        (NS, (RoutedName("www"), RoutedName("WWW")), "second time"),
        (NS + "www A 192.0.2.1", (RoutedName("www"),), "second time"),
        (NS + "www CNAME a", (RoutedName("www"),), "second time"),
        (NS + "www HTTPS 1 .", (RoutedName("www", alpn=("h2",)),), "second time"),
        (NS + "sub NS ns1", (RoutedName("sub"),), "delegated"),
        (NS, (RoutedName("www.other.example."),), "not in it"),
        (NS, (RoutedName("www", elsewhere=("nonsense",)),), "nonsense"),
        (NS, (RoutedName("a..b"),), "empty"),
    ],
)
def test_a_zone_that_cannot_be_served_is_refused_in_one_line(
    records: str, routed: tuple[RoutedName, ...], why: str
) -> None:
    with pytest.raises(UnusableZone, match=why) as caught:
        read_zone(ZoneSettings("cdn.example", records, routed))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("zone cdn.example: ")


def test_an_https_record_may_stand_beside_a_routed_name_without_one() -> None:
    zone = read_zone(ZoneSettings("cdn.example", NS + "www HTTPS 1 . alpn=h3", (RoutedName("www"),)))
    assert zone.names[b"\3www\3cdn\7example\0"].match(65).routed is None


def test_a_zone_is_there_once() -> None:
    with pytest.raises(UnusableZone, match="twice"):
        read_zones((ZoneSettings("cdn.example", NS), ZoneSettings("CDN.example.", NS)))
