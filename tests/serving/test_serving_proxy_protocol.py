from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.serving.proxy_protocol import ProxyHeader, ProxyHeaderError, parse_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2])
V6 = bytes.fromhex("20010db8000000000000000000000001") * 2 + bytes(4)


def v2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(addresses).to_bytes(2, "big") + addresses


ACCEPTED = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (v2(0x21, 0x11, V4), "192.0.2.1"),
    (v2(0x21, 0x11, V4 + b"\x04\x00\x01x"), "192.0.2.1"),
    (v2(0x21, 0x21, V6), "2001:db8::1"),
    (v2(0x20, 0x00, b""), None),
]
REFUSED = [
    b"GET / HTTP/1.1\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
    b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    b"PROXY UNKNOWN " + b"x" * 100,
    v2(0x11, 0x11, V4),
    v2(0x22, 0x11, V4),
    v2(0x21, 0x12, V4),
    v2(0x21, 0x11, V4[:8]),
    SIGNATURE + b"\x21\x11\xff\xff",
    b"\r\n\r\nGET",
]


@pytest.mark.parametrize(("data", "client"), ACCEPTED)
def test_a_header_is_taken_whole_and_only_when_whole(data: bytes, client: str | None) -> None:
    assert parse_proxy_header(data + b"GET") == ProxyHeader(client, len(data))
    for cut in range(len(data)):
        assert parse_proxy_header(data[:cut]) is None


@pytest.mark.parametrize("data", REFUSED)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(data)


@settings(max_examples=200)
@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
    st.binary(max_size=64),
)
def test_arbitrary_bytes_raise_nothing_else(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(ProxyHeaderError):
        parse_proxy_header(start + rest)
