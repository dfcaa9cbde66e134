from __future__ import annotations

import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.tcp_info import TcpInfo, parse, tcp_info


def told(rtt: int = 0, rttvar: int = 0, min_rtt: int = 0, rate: int = 0, size: int = 256) -> bytes:
    data = bytearray(256)
    struct.pack_into("=I", data, 68, rtt)
    struct.pack_into("=I", data, 72, rttvar)
    struct.pack_into("=I", data, 148, min_rtt)
    struct.pack_into("=Q", data, 160, rate)
    return bytes(data[:size])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (told(20_000, 1_500, 12_345, 10**10), TcpInfo(20.0, 1.5, 12.345, 10**10)),
        (told(20_000, 1_500, 0xFFFFFFFF), TcpInfo(20.0, 1.5, 20.0, 0)),  # no least yet
        (told(20_000, 1_500, 0), TcpInfo(20.0, 1.5, 20.0, 0)),
        (told(20_000, 1_500, 12_345, 5, size=104), TcpInfo(20.0, 1.5, 20.0, 0)),  # an old kernel
        (told(20_000, 1_500, 12_345, 5, size=160), TcpInfo(20.0, 1.5, 12.345, 0)),
        (told(0, 0, 0), None),
        (told(0, 0, 12_345), None),
        (told(size=72), None),
        (b"", None),
    ],
)
def test_what_the_kernel_tells(data: bytes, expected: TcpInfo | None) -> None:
    assert parse(data) == expected


@given(st.binary(max_size=300))
def test_any_bytes_are_a_sample_above_zero_or_none(data: bytes) -> None:
    found = parse(data)
    assert found is None or 0 < found.min_rtt <= found.rtt


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="TCP_INFO is Linux's")
def test_a_connection_on_loopback_has_a_round_trip() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as client:
            accepted, _ = listening.accept()
            with accepted:
                found = tcp_info(accepted)
                assert found is not None, "the handshake alone is a sample"
                assert 0 < found.min_rtt < 1000
                client.sendall(b"x")
                accepted.recv(1)
        assert tcp_info(client) is None, "closed"


def test_what_is_no_tcp_is_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tcp_info(None) is None
    with socket.socket(socket.AF_UNIX) as other:
        assert tcp_info(other) is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert tcp_info(other) is None
    monkeypatch.setattr(sys, "platform", "darwin")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert tcp_info(listening) is None
