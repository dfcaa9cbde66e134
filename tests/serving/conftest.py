"""A real listener on loopback, on uvloop, with a handler chosen by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
from serving_stand import Serve, Served, echo, force_engine
from stands.authority import Authority

from edgeproxy.config import Limits, Listen, Log, Tls
from edgeproxy.message import Handler
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.certificates import describe
from edgeproxy.serving.handshakes import Handshakes, quiet_handshakes
from edgeproxy.serving.listener import Listeners
from edgeproxy.serving.negotiation import PROTOCOLS
from edgeproxy.serving.tls import Sources
from edgeproxy.serving.tls_watch import TlsWatch
from edgeproxy.tasks import Tasks


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    started: list[Served] = []

    async def start(
        handler: Handler = echo,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        sequence: Callable[[], int] = lambda: 0,
        log: Log | None = None,
        tls: Tls | None = None,
        engine: str = "",
        connects: Any = None,
        **listen: Any,
    ) -> Served:
        reports: list[str] = []
        metrics = Metrics()
        tasks = Tasks(lambda name, error: reports.append(f"{name}: {error!r}"))
        access_log = AccessLog(log or Log(access="off"), metrics)
        access_log.start()
        watch, handshakes = None, None
        if tls is not None:
            watch = TlsWatch(
                Sources(tls, tmp_path),
                tuple(PROTOCOLS),
                clock=clock,
                metrics=metrics,
                report=reports.append,
            )
            await watch.start()
            force_engine(watch.contexts, engine)
            held = watch
            handshakes = Handshakes(lambda: held.contexts, describe, limits or Limits(), metrics)
            asyncio.get_running_loop().set_exception_handler(quiet_handshakes)
        listeners = Listeners(
            handler,
            Listen(**{"http": ["127.0.0.1:0"], **listen}),
            limits or Limits(drain_timeout=0.2),
            clock=clock,
            sequence=sequence,
            tasks=tasks,
            metrics=metrics,
            access_log=access_log,
            report=reports.append,
            handshakes=handshakes,
            connects=connects,
        )
        bound = await listeners.start()
        served = Served(
            listeners, bound.http, metrics, tasks, reports, log=access_log, secured=bound.https, watch=watch
        )
        started.append(served)
        return served

    yield start
    for served in started:
        for writer in served.writers:
            writer.close()
        await served.listeners.drain()
        await served.tasks.aclose()
        assert served.log is not None
        served.log.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> Tls:
    """A certificate for localhost."""
    issued = authority.issue("node")
    return Tls(certificate=str(issued.certificate), key=str(issued.key))
