"""Where connections were meant to go."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from edgeproxy.proxy.original import SO_ORIGINAL_DST, original


class Turned:
    """A socket whose firewall says something."""

    def __init__(self, own: tuple[Any, ...], said: bytes | None, family: int = socket.AF_INET) -> None:
        self._own, self._said, self.family = own, said, family

    def getsockname(self) -> tuple[Any, ...]:
        return self._own

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert option == SO_ORIGINAL_DST
        assert level == (socket.IPPROTO_IPV6 if self.family == socket.AF_INET6 else socket.SOL_IP)
        if self._said is None:
            raise OSError(2, "No such file or directory")
        assert len(self._said) == size
        return self._said


FOUR = struct.pack("!HH4s8x", socket.AF_INET, 443, socket.inet_aton("203.0.113.9"))
SIX = struct.pack("!HHI16sI", socket.AF_INET6, 443, 0, socket.inet_pton(socket.AF_INET6, "2001:db8::9"), 0)
OWN = struct.pack("!HH4s8x", socket.AF_INET, 3129, socket.inet_aton("192.0.2.1"))


@pytest.mark.parametrize(
    ("turned", "place"),
    [
        (Turned(("192.0.2.1", 3129), FOUR), ("203.0.113.9", 443)),
        (Turned(("2001:db8::1", 3129, 0, 0), SIX, socket.AF_INET6), ("2001:db8::9", 443)),
        (Turned(("203.0.113.9", 443), None), ("203.0.113.9", 443)),  # TPROXY
        (Turned(("203.0.113.9", 443), FOUR), ("203.0.113.9", 443)),  # TPROXY, and connections are tracked
        (Turned(("2001:db8::9", 443, 0, 0), SIX, socket.AF_INET6), ("2001:db8::9", 443)),
        (Turned(("::ffff:203.0.113.9", 443, 0, 0), None, socket.AF_INET6), ("203.0.113.9", 443)),
        (Turned(("192.0.2.1", 3129), None), None),  # meant for us
        (Turned(("192.0.2.1", 3129), OWN), None),
    ],
)
def test_redirected_left_as_it_was_or_meant_for_us(turned: Any, place: tuple[str, int] | None) -> None:
    assert original(turned, frozenset({3129})) == place


def test_a_connection_nobody_has_turned() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listening.accept()
            with accepted:
                assert original(accepted, frozenset({port})) is None
