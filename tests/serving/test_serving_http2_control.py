"""Frames about the connection: what the tables of test_serving_http2 do not show."""

from __future__ import annotations

import pytest
from serving_stand import Serve, answering
from stands.http2_client import ACK, PING, PRIORITY_UPDATE, SETTINGS, asking, frame, headers, settings

from edgeproxy.message import BytesBody

GET = asking("/a")


async def test_settings_and_pings_are_acknowledged_in_their_order(serve: Serve) -> None:
    served = await serve()
    client = await served.http2()
    client.send(frame(PING, 0, 0, b"one_____"), settings((3, 1)), frame(PING, 0, 0, b"two_____"))
    await client.ponged()
    acknowledged = [f.payload if f.kind == PING else b"" for f in client.frames if f.flags & ACK]
    assert acknowledged == [b"", b"one_____", b"", b"two_____", b"ping-pon"]
    assert sum(f.kind == SETTINGS and not f.flags for f in client.frames) == 1


@pytest.mark.parametrize("value", [0, 100, 4096, 65536])
async def test_our_blocks_are_readable_whatever_table_the_client_has(serve: Serve, value: int) -> None:
    served = await serve(answering(BytesBody(b"x")))
    client = await served.http2(values=[(1, value)])
    await client.ask(1, GET)
    heads = [f.payload for f in client.frames if f.kind == 1]
    assert heads[0].startswith(b"\x20") is (value != 4096)


async def test_priorities_of_streams_to_come_are_kept_up_to_a_bound(serve: Serve) -> None:
    served = await serve()
    client = await served.http2()
    for stream in range(1001, 2001, 2):
        client.send(frame(PRIORITY_UPDATE, 0, 0, stream.to_bytes(4, "big") + b"u=0"))
    assert (await client.ask(1, GET)).status == 200
    connection = next(iter(served.listeners._door.connections))
    assert len(connection._foretold) == 128
    client.send(headers(1001, GET))
    assert (await client.answer(1001)).status == 200
    assert len(connection._foretold) == 127
