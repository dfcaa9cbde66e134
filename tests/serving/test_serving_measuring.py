from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import pytest
from serving_stand import Serve, until
from stands.http2_client import asking

from edgeproxy.router.tcp_info import tcp_info
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.measuring import AT_ONCE, LOOKS, Measuring

LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass(eq=False)
class Open:
    peer: str = "192.0.2.1"
    served: int = 1
    endpoint: Any = None


class Times:
    def __init__(self, *left_out: str) -> None:
        self.now = 0.0
        self.measured: list[str] = []
        self.measuring = Measuring(
            lambda peer, _: self.measured.append(peer), (Networks(left_out),), lambda: self.now
        )


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (Open(), ["192.0.2.1"]),
        (Open(served=0), []),  # it asked for nothing
        (Open("10.0.0.1"), []),  # a proxy
        (Open(""), []),  # a unix socket
    ],
)
def test_clients_are_measured_and_proxies_are_not(connection: Any, expected: list[str]) -> None:
    times = Times("10.0.0.0/8")
    times.measuring.ended(connection)
    assert times.measured == expected


def test_long_connections_are_measured_once_in_a_minute() -> None:
    times = Times()
    connections: list[Any] = [Open() for _ in range(100)]
    for second in range(200):
        times.now = float(second)
        times.measuring.look(connections)
    assert len(times.measured) == 300


def test_many_are_gone_through_within_the_round() -> None:
    times = Times()
    connections: list[Any] = [Open() for _ in range(AT_ONCE * LOOKS * 3)]
    for second in range(60, 100):
        times.now = float(second)
        times.measuring.look(connections)
    assert len(times.measured) == len(connections)


@pytest.mark.parametrize("version", ["http1", "http2"])
async def test_a_real_connection_is_measured_when_it_ends(serve: Serve, version: str) -> None:
    served = await serve()
    measured: list[tuple[str, Any]] = []

    def measure(peer: str, connection: socket.socket | None) -> None:
        measured.append((peer, tcp_info(connection)))

    served.listeners.measure(measure)
    if version == "http1":
        assert b"200 OK" in await served.say(LAST)
    else:
        client = await served.http2()
        assert (await client.ask(1, asking("/a"))).status == 200
        client.writer.close()
    await until(lambda: bool(measured))
    (peer, info), *others = measured
    assert others == []
    assert peer == "127.0.0.1"
    assert info is not None
    assert 0 < info.min_rtt < 1000
