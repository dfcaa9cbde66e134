"""A real listener on loopback, on uvloop, with a handler chosen by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop
from serving_stand import Serve, Served, echo

from edgeproxy.config import Limits, Listen, Log
from edgeproxy.message import Handler
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Listeners
from edgeproxy.tasks import Tasks


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    started: list[Served] = []

    async def start(
        handler: Handler = echo,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        sequence: Callable[[], int] = lambda: 0,
        log: Log | None = None,
        **listen: Any,
    ) -> Served:
        reports: list[str] = []
        metrics = Metrics()
        tasks = Tasks(lambda name, error: reports.append(f"{name}: {error!r}"))
        access_log = AccessLog(log or Log(access="off"), metrics)
        access_log.start()
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
        )
        bound = await listeners.start()
        served = Served(listeners, bound.http, metrics, tasks, reports, log=access_log)
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
