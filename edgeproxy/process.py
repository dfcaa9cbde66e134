"""A node as a process, or as several: the line that tells it is ready, and whom it takes over from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import aiofastnet
import uvloop

from edgeproxy.config import Config
from edgeproxy.errors import EdgeError
from edgeproxy.own_log import OWN_LOG
from edgeproxy.serving.listener import Bound
from edgeproxy.workers.alone import Again, Alone
from edgeproxy.workers.handover import Predecessor
from edgeproxy.workers.share import workers


def ready_line(bound: Bound, admin: str, dns: tuple[str, ...] = ()) -> str:
    """What is printed once connections are accepted; programs read it."""
    places = {"http": ",".join(bound.http) or "-", "admin": admin, "https": ",".join(bound.https)}
    places |= {"proxy": ",".join(bound.proxy), "dns": ",".join(dns)}
    return "edgeproxy: ready " + " ".join(f"{name}={place}" for name, place in places.items() if place)


def announce(bound: Bound, admin: str, dns: tuple[str, ...] = ()) -> None:
    """Say that clients are accepted: to whoever reads standard output, and to systemd."""
    print(ready_line(bound, admin, dns), flush=True)  # noqa: T201
    notify(f"READY=1\nMAINPID={os.getpid()}")


def notify(text: str) -> None:
    """Tell the service manager that started us, if there is one (sd_notify(3))."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place.startswith(("/", "@")):
        address = place if place.startswith("/") else f"\0{place[1:]}"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(text.encode(), address)


def route(config: Config, again: Again) -> int:
    """Run a router until SIGTERM or SIGINT; likewise."""
    from edgeproxy.route_node import run  # its libraries are needed by nothing else

    OWN_LOG.configure(config.log.level)
    factory = aiofastnet.loop_factory(uvloop.new_event_loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run(config, again, announce))


async def _alone(config: Config, again: Again, old: Predecessor | None) -> int:
    return await Alone(config, again, announce, old).run()


def serve(config: Config, again: Again, old: Predecessor | None = None) -> int:
    """Run a node until SIGTERM or SIGINT; `again` reads its configuration again. Raises StartError or
    ConfigurationError when it cannot start; gives the exit status."""
    OWN_LOG.configure(config.log.level)
    try:
        if old is not None:
            old.receive()
        if workers(config.node) > 1:
            from edgeproxy.workers.supervising import supervise  # a node of one process has no use for it

            return supervise(config, again, announce, old)
        factory = aiofastnet.loop_factory(uvloop.new_event_loop)
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_alone(config, again, old))
    except EdgeError as error:
        if old is not None:
            old.tell_failed(str(error))
        raise
