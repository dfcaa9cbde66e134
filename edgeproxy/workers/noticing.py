"""What a server notices of itself and its clients, for the filler to tell routers."""

from __future__ import annotations

import resource

from edgeproxy.config_router import Router
from edgeproxy.relay.messages import Noticed
from edgeproxy.router.client_rtts import ClientRtts
from edgeproxy.router.configured import is_told_of, tells_round_trips
from edgeproxy.router.node_load import Lateness
from edgeproxy.serving.measuring import Measure
from edgeproxy.tasks import Tasks


class Noticing:
    """Nothing where nobody is told of this node."""

    def __init__(self, router: Router) -> None:
        self._is_wanted = is_told_of(router)
        self._rtts = ClientRtts()
        self.measure: Measure | None = self._rtts.ended if tells_round_trips(router) else None
        self._lateness = Lateness()
        self._before = _processor_seconds()

    def start(self, tasks: Tasks) -> None:
        if self._is_wanted:
            tasks.start(self._lateness.run(), "load")

    def taken(self) -> Noticed | None:
        """Since the last time."""
        if not self._is_wanted:
            return None
        before, self._before = self._before, _processor_seconds()
        return Noticed(self._before - before, self._lateness.taken(), self._rtts.taken())


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
