"""The supervisor's end of the socket pair to a child, and the child's."""

from __future__ import annotations

import asyncio
import socket

from edgeproxy.errors import StartError
from edgeproxy.workers.child import Supervised
from edgeproxy.workers.link import Link
from edgeproxy.workers.orders import Done, Inherit, Order, Ready, Reconfigure, ReloadAnswered, Stop


async def test_orders_are_obeyed_in_turn_and_what_came_of_them_is_told() -> None:
    ours, theirs = socket.socketpair()
    link, supervised = Link(ours), Supervised(theirs)
    obeyed: list[Order] = []

    async def obey(order: Order) -> None:
        obeyed.append(order)
        await asyncio.sleep(0)
        if isinstance(order, Stop):
            supervised.end(in_order=True)
        if order == Reconfigure(b"bad"):
            raise StartError("no such thing")

    task = asyncio.get_running_loop().create_task(supervised.obey(obey))
    supervised.tell(Ready())
    orders: list[Order] = [Reconfigure(b"bad"), Reconfigure(b"good"), ReloadAnswered(b"", ""), Stop()]
    for order in orders:
        link.send(order)
    assert await supervised.wait()
    assert obeyed == orders
    await asyncio.sleep(0.02)
    assert link.receive() == [Ready(), Done("no such thing"), Done()]
    task.cancel()
    link.close()
    await asyncio.sleep(0.02)


async def test_sockets_come_with_their_names() -> None:
    ours, theirs = socket.socketpair()
    link, supervised = Link(ours), Supervised(theirs)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = listening.getsockname()
        link.send(Inherit("http", "h:0", "h:1"), listening.fileno())
    while not supervised.inherited:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    ((said, received),) = supervised.inherited
    assert (said, received.getsockname()) == (Inherit("http", "h:0", "h:1"), address)
    received.close()
    link.close()
    assert not await supervised.wait()  # the supervisor is gone


def test_a_child_that_is_gone_or_talks_nonsense_is_lost() -> None:
    for last in (b"", b"\0\0\0\0\x09", b"\x01\0\0\0\0\xc1"):
        ours, theirs = socket.socketpair()
        link = Link(ours)
        theirs.send(last) if last else None
        theirs.close()
        while not link.is_lost:
            assert link.receive() == []
        link.send(Stop())  # into the void
        link.close()
