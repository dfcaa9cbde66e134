"""What every fill of a node shares, and what may judge a body before it is shown."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

from edgeproxy.config import Fill as FillSettings
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.distrust import Distrust
from edgeproxy.pipeline.exchange import Exchange
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.store import Store
from edgeproxy.tasks import Tasks


class Examiner(Protocol):
    """Judges a body as a whole before anything of it is shown or kept."""

    def examine(self, stored: StoredResponse, data: bytes) -> Any:
        """In a thread. Raises UpstreamError if `data` cannot be what was asked for."""
        ...

    async def keep(self, stored: StoredResponse, examined: Any) -> None:
        """After the commit, on the loop: do something with what `examine` made."""
        ...


@dataclass(slots=True)
class FillParts:
    """What every fill of a node shares. `settings` change with the configuration, also for what runs."""

    exchange: Exchange
    store: Store
    settings: FillSettings
    metrics: Metrics
    clock: Clock
    hashing: Executor
    tasks: Tasks
    report: Callable[[str], None]
    distrust: Distrust
