"""The plain reader: what it takes, another reader (dnspython) must take, and read the same in it."""

from typing import Any

import dns.edns
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.router.dns_odd import read_odd
from edgeproxy.router.dns_query import Query, read

LABELS = st.binary(min_size=1, max_size=12)
NAMES = st.lists(LABELS, max_size=6).map(
    lambda labels: b"".join(bytes((len(one),)) + one for one in labels) + b"\0"
)
OPTIONS = st.sampled_from(
    [
        dns.edns.GenericOption(3, b""),
        dns.edns.GenericOption(10, b"12345678"),
        dns.edns.GenericOption(10, b"12345678" + bytes(16)),
        dns.edns.ECSOption("81.2.69.0", 24),
        dns.edns.ECSOption("2001:db8::", 48),
        dns.edns.GenericOption(12, b"padding"),
    ]
)


def wire(name: str = "www.cdn.example", **more: Any) -> bytes:
    return dns.message.make_query(name, "A", **more).to_wire()


def plain(name: bytes, qtype: int, qclass: int, flags: int, options: list[Any] | None) -> bytes:
    header = b"\x12\x34" + (flags & 0x0130).to_bytes(2, "big") + b"\0\1\0\0\0\0"
    header += (0 if options is None else 1).to_bytes(2, "big")
    data = header + name + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    if options is not None:
        parts = b"".join(
            int(one.otype).to_bytes(2, "big") + len(one.to_wire()).to_bytes(2, "big") + one.to_wire()
            for one in options
        )
        data += b"\0\0\x29\x04\xd0\0\0\x80\0" + len(parts).to_bytes(2, "big") + parts
    return data


def test_a_plain_query_is_read_with_its_case() -> None:
    found = read(wire("wWw.cDn.example"))
    assert found is not None
    assert found.question == b"\3wWw\3cDn\7example\0\0\1\0\1"
    assert (found.name, found.qtype, found.qclass) == (b"\3www\3cdn\7example\0", 1, 1)
    assert found.edns is None


@given(NAMES, st.integers(1, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_both_readers_read_the_same(name: bytes, qtype: int, qclass: int, flags: int) -> None:
    if qtype == 41 or qtype in (249, 250):
        return  # of these dnspython has its own idea
    data = plain(name, qtype, qclass, flags, None)
    assert read(data) == read_odd(data)


@given(NAMES, st.lists(OPTIONS, max_size=3, unique_by=lambda one: int(one.otype)))
def test_both_readers_read_the_same_options(name: bytes, options: list[Any]) -> None:
    data = plain(name, 1, 1, 0x0100, options)
    found = read(data)
    assert found is not None
    assert found.fault == 0
    assert found == read_odd(data)


@settings(max_examples=300)
@given(st.data())
def test_what_the_plain_reader_takes_after_damage_the_other_takes_too(data: Any) -> None:
    whole = bytearray(plain(b"\3www\3cdn\0", 1, 1, 0, data.draw(st.none() | st.lists(OPTIONS, max_size=2))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(12, len(whole)))])
    found = read(damaged)
    if found is None or found.qtype in (41, 249, 250):
        return
    other = read_odd(damaged)
    if isinstance(other, Query) and found.fault == 0:
        assert found == other
    elif found.fault == 0:  # no family at all is taken by the plain reader only
        assert found.edns is not None
        assert found.edns.subnet is not None
        assert found.edns.subnet.version == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:11],
        lambda data: data[:20],
        lambda data: data + b"\0",
        lambda data: b"\0\0\x80" + data[3:],
        lambda data: b"\0\0\x02" + data[3:],
        lambda data: b"\0\0\x20" + data[3:],
        lambda data: data[:5] + b"\2" + data[6:],
        lambda data: data[:7] + b"\1" + data[8:],
        lambda data: data[:12] + b"\xc0\x0c" + data[-4:],
        lambda data: data[:12] + b"\x40" + b"a" * 64 + b"\0" + data[-4:],
        lambda data: data[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0" + data[-4:],
    ],
)
def test_what_is_not_plain_is_left_to_the_other_reader(damage: Any) -> None:
    assert read(damage(wire())) is None


def test_another_version_of_edns_and_options_out_of_form_are_faults() -> None:
    unknown = read(wire(use_edns=1))
    assert unknown is not None
    assert unknown.fault == 16
    wrong = read(wire(use_edns=0, options=[dns.edns.GenericOption(8, b"\0\1\x18\0")]))
    assert wrong is not None
    assert wrong.fault == 1
