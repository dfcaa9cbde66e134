from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.decide import Asking
from edgeproxy.router.decision_log import LINE_BYTES_MAX, LoggedDecision, UnusableLine, read, written
from edgeproxy.router.snapshot import RouteObject


def test_what_is_written_is_read() -> None:
    line = LoggedDecision(
        1_700_000_000.5,
        "198.51.100.7",
        node="paris",
        policy="geo-rtt",
        key="acme/model@1/weights",
        is_large=True,
        family=4,
        scheme="https",
        excluded=("tokyo",),
        reason="the nearest by cost",
        rtt_ms=12.5,
    )
    assert read(written(line)) == line
    assert written(line).endswith(b"}\n")
    assert read(written(line)).asking == Asking(4, "https", frozenset({"tokyo"}))
    assert read(written(line)).asked == RouteObject("acme/model@1/weights", is_large=True)


def test_a_line_of_the_access_log_will_do() -> None:
    line = read(
        b'{"time":"2026-11-24T15:33:00.250+00:00","id":"x","client":"2001:db8::7","method":"GET",'
        b'"url":"/acme/model/resolve/main/weights?sig=1","status":200,"bytes":2000000,"reason":"uri-miss"}'
    )
    assert line.at == pytest.approx(1_795_534_380.25)
    assert line.asked == RouteObject("/acme/model/resolve/main/weights", is_large=True)
    assert line.address() == (ip_address("2001:db8::7"), None)


def test_a_question_of_dns_names_no_object() -> None:
    assert read('{"time":1.0,"client":"198.51.100.0/24"}').asked is None


def test_a_prefix_tells_how_much_of_the_address_is_known() -> None:
    assert read('{"time":1,"client":"198.51.100.0/22"}').address() == (ip_address("198.51.100.0"), 22)
    assert read('{"time":1,"client":""}').address() == (None, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not json", "JSON"),
        ("[]", "object"),
        ('{"time":1}', "client"),
        ('{"client":"198.51.100.7"}', "time"),
        ('{"time":"yesterday","client":""}', "RFC 3339"),
        ('{"time":1,"client":"somebody"}', "neither an address nor a prefix"),
        ('{"time":1,"client":"","family":5}', "family 5"),
        ('{"time":1,"client":"","bytes":"many"}', "bytes"),
        ('{"time":1,"client":"","url":"http://[::1"}', "url"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_why(text: str, why: str) -> None:
    with pytest.raises(UnusableLine, match=why):
        read(text)


def test_a_line_has_a_length() -> None:
    with pytest.raises(UnusableLine, match="longer"):
        read('{"time":1,"client":"' + "x" * LINE_BYTES_MAX + '"}')


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_anything_else_is_refused_and_breaks_nothing(text: bytes | str) -> None:
    try:
        told = str(read(text).at)
    except UnusableLine as error:
        told = str(error)
    assert told
    assert "\n" not in told
