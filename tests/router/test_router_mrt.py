from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.bgp_table import Announced, UnusableRoutes
from edgeproxy.router.mrt import Dump

PEERS = struct.pack(">IHHI", 0, 13, 1, 4) + b"peer"


def path(*segments: tuple[int, list[int]], wide: bool = False) -> bytes:
    content = b"".join(struct.pack(f">BB{len(asns)}I", kind, len(asns), *asns) for kind, asns in segments)
    head = struct.pack(">BBH", 0x50, 2, len(content)) if wide else struct.pack(">BBB", 0x40, 2, len(content))
    return b"\x40\x01\x01\x00" + head + content  # ORIGIN comes first


def rib(prefix: bytes, bits: int, *paths: bytes, subtype: int = 2) -> bytes:
    record = struct.pack(">IB", 1, bits) + prefix + struct.pack(">H", len(paths))
    for attributes in paths:
        record += struct.pack(">HIH", 0, 0, len(attributes)) + attributes
    return struct.pack(">IHHI", 0, 13, subtype, len(record)) + record


def read(*records: bytes) -> list[tuple[int, Announced]]:
    return list(Dump(io.BytesIO(PEERS + b"".join(records))))


def test_the_origin_of_most_peers_and_the_shortest_path_count() -> None:
    seq = 2
    record = rib(
        b"\x0a\x01", 16,
        path((seq, [100, 200, 300])),
        path((seq, [100, 100, 100, 300]), wide=True),  # prepended: two different ones
        path((seq, [100, 400])),
    )  # fmt: skip
    assert read(record) == [(4, Announced(0x0A010000, 16, 300, 2))]


def test_ipv6_and_bits_beyond_the_prefix() -> None:
    assert read(rib(bytes.fromhex("20010dbf"), 31, path((2, [7])), subtype=4)) == [
        (6, Announced(0x20010DBE_00000000, 31, 7, 1))
    ]


@pytest.mark.parametrize(
    "record",
    [
        rib(b"\x0a", 8, path((2, [1, 2]), (1, [3, 4]))),  # ends in a set
        rib(b"\x0a", 8),  # nobody announces it
        rib(b"\x0a", 8, b"\x40\x01\x01\x00"),  # no path
        rib(b"\x20\x01" + bytes(10), 96, path((2, [1])), subtype=4),
        struct.pack(">IHHI", 0, 16, 4, 3) + b"upd",  # an update
    ],
)
def test_what_has_no_single_origin_is_passed_over(record: bytes) -> None:
    assert read(record, rib(b"\x0b", 8, path((2, [5])))) == [(4, Announced(0x0B000000, 8, 5, 1))]


@pytest.mark.parametrize("cut", [1, 11, 13, 20])
def test_a_file_that_is_cut_gives_what_came_before(cut: int) -> None:
    whole = rib(b"\x0a", 8, path((2, [5])))
    dump = Dump(io.BytesIO(PEERS + whole + whole[:cut]))
    assert len(list(dump)) == 1
    assert dump.is_cut


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 100,
        struct.pack(">IHHI", 0, 13, 1, 1 << 31),
        struct.pack(">IHHI", 0, 12, 1, 4) + b"old1",
        rib(b"\x0a", 33),
        struct.pack(">IHHI", 0, 13, 2, 3) + b"abc",
        struct.pack(">IHHI", 0, 13, 2, 8) + b"\0\0\0\1\x08\x0a\0\x09",  # nine entries that are not there
    ],
)
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableRoutes):
        list(Dump(io.BytesIO(data)))


@given(st.binary(max_size=80), st.sampled_from([2, 4]))
def test_garbage_is_refused_or_passed_over(data: bytes, subtype: int) -> None:
    record = struct.pack(">IHHI", 0, 13, subtype, len(data)) + data
    try:
        for family, found in Dump(io.BytesIO(record)):
            assert found.start < 1 << (32 if family == 4 else 64)
    except UnusableRoutes:
        pass
