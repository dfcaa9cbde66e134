"""Taking connections from a listening socket."""

import asyncio
import resource
import socket
from pathlib import Path

from serving_stand import Serve, service_of, until

from edgeproxy.config import Limits
from edgeproxy.metrics import Metrics
from edgeproxy.serving.acceptor import Acceptor
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.door import Door

LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_without_descriptors_accepting_rests_and_recovers(serve: Serve) -> None:
    served = await serve()

    def refused() -> int:
        return served.metrics.value("connections_refused_total", "descriptors")

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = socket.socket()
    highest = probe.fileno()
    client = socket.socket()
    client.setblocking(False)
    host, port = served.bound[0].split(":")
    probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        client.connect_ex((host, int(port)))
        await until(lambda: refused() > 0)
        start, begun = refused(), asyncio.get_running_loop().time()
        await until(lambda: refused() >= start + 2)  # it tries again
        took = asyncio.get_running_loop().time() - begun
        assert took >= 0.05  # two rests, the first perhaps half over
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: served.listeners.connections == 1)
    client.close()
    assert b"200" in await served.say(LAST)


async def test_those_that_come_together_after_many_that_came_alone_are_all_taken(serve: Serve) -> None:
    served = await serve()
    for _ in range(20):
        assert b"200" in await served.say(LAST)
    together = await asyncio.gather(*(served.say(LAST) for _ in range(100)))
    assert all(b"200" in answer for answer in together)
    assert served.metrics.value("connections_total") == 120


async def test_stopping_takes_what_waits_and_closes_the_socket(tmp_path: Path) -> None:
    service, _ = service_of()
    door = Door(Limits(), Metrics(), Networks([]))
    service.opened, service.lost = door.opened, door.lost
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as client:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        listening.setblocking(False)
        acceptor = Acceptor(listening, service, door, Networks([]))
        acceptor.start()
        client.connect(path)  # waits in the kernel: the loop has not run since
        acceptor.stop()
        await until(lambda: len(door.connections) == 1)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, LAST)
        assert (await loop.sock_recv(client, 1000)).startswith(b"HTTP/1.1 200")
        await until(lambda: not door.connections)
    await service.tasks.aclose()
