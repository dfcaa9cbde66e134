"""Blocking work off the loop, and its way back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edgeproxy.metrics import Metrics
from edgeproxy.storage.threads import Threads, or_undo


async def test_a_result_nobody_waits_for_any_more_is_undone():
    threads, gate, undone = Threads(Metrics(), lambda text: None), threading.Event(), []
    waiting = asyncio.ensure_future(or_undo(threads.run(lambda: gate.wait(10) and 7), undone.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await threads.run(int)
    await asyncio.to_thread(threads.close)
    await asyncio.sleep(0)
    assert undone == [7]


async def test_each_kind_of_trouble_is_said_once_and_counted_always():
    metrics, said = Metrics(), []
    threads = Threads(metrics, said.append)
    for text in ("first", "second"):
        threads.note("storage_errors_total", "read", text)
    threads.note("storage_errors_total", "write", "other")
    assert said == ["first", "other"]
    assert metrics.value("storage_errors_total", "read") == 2
    await asyncio.to_thread(threads.close)
