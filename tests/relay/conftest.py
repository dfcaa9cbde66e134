"""Both ends of a relay, on uvloop as in a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
from relay_stand import Stand, stand

from edgeproxy.message import Handler


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def relayed(tmp_path: Path) -> AsyncIterator[Callable[..., Stand]]:
    made: list[Stand] = []

    def make(handler: Handler, **options: Any) -> Stand:
        one = stand(tmp_path, handler, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        await one.aclose()
        assert one.reports == []
