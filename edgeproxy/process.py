"""A node as a process: signals, the line that tells it is ready, its own log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

import aiofastnet
import structlog
import uvloop

from edgeproxy.config import Config
from edgeproxy.node import Node
from edgeproxy.serving.handshakes import quiet_handshakes
from edgeproxy.serving.listener import Bound


def ready_line(bound: Bound, admin: str) -> str:
    """What is printed once connections are accepted; programs read it."""
    places = {"http": ",".join(bound.http) or "-", "admin": admin, "https": ",".join(bound.https)}
    return "edgeproxy: ready " + " ".join(f"{name}={place}" for name, place in places.items() if place)


async def _serve(config: Config) -> int:
    node = Node(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(quiet_handshakes)
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        stopping.set()
        if signals > 1:  # a second signal means now
            sys.exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        bound, admin = await node.start()
        print(ready_line(bound, admin), flush=True)  # noqa: T201
        await stopping.wait()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await node.stop()
    return 0


def _configure_log(level: str) -> None:
    """The node's own log: lines on standard error, for people on a terminal, JSON elsewhere."""
    terminal = sys.stderr.isatty()
    # It warns of what is normal here: writes to clients that left, connections without kernel TLS.
    logging.getLogger("aiofastnet").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def serve(config: Config) -> int:
    """Run a node until SIGTERM or SIGINT. Raises StartError or ConfigurationError when it cannot
    start; gives the exit status."""
    _configure_log(config.log.level)
    factory = aiofastnet.loop_factory(uvloop.new_event_loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(config))
