"""Which requests are for web sockets; what becomes of them is for test_journey_web_sockets."""

from __future__ import annotations

import pytest

from edgeproxy.message import Headers
from edgeproxy.proxy.upgrades import wants_web_socket


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ((("Connection", "Upgrade"), ("Upgrade", "websocket")), True),
        ((("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket")), True),
        ((("Connection", "keep-alive"), ("Connection", "Upgrade"), ("Upgrade", "websocket")), True),
        ((("Upgrade", "websocket"),), False),
        ((("Connection", "Upgrade"), ("Upgrade", "h2c")), False),
        ((("Connection", "Upgrade"), ("Upgrade", "websocket, h2c")), False),
        ((("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Upgrade", "h2c")), False),
        ((), False),
    ],
)
def test_one_protocol_and_no_other_is_asked_for(fields: tuple[tuple[str, str], ...], wanted: bool) -> None:
    assert wants_web_socket(Headers(fields)) is wanted
