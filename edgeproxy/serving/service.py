"""What all connections of one listener share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edgeproxy.config import Limits
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.body_writer import BodyWriter
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.request_memo import RequestMemo
from edgeproxy.serving.response_head import DateField
from edgeproxy.serving.trace import RequestIds
from edgeproxy.tasks import Tasks


class OpenConnection(Protocol):
    """A client connection as the listener and the sweep see it. `pulse` tells what the connection
    waits for, how many seconds of that are allowed, and a mark that changes with any progress."""

    pulse_seen: tuple[object, ...]
    pulse_since: float

    @property
    def is_idle(self) -> bool: ...

    def pulse(self) -> tuple[str, float, object, object]: ...

    def expire(self, phase: str) -> None: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Service:
    """The handler of a listener with everything needed to serve it. `lost` is told of each
    connection that ended and the peer it came from."""

    __slots__ = (
        "clock",
        "date",
        "draining",
        "handler",
        "ids",
        "limits",
        "listener",
        "log",
        "lost",
        "memo",
        "metrics",
        "opened",
        "report",
        "scheme",
        "sending",
        "tasks",
        "trusted",
    )

    def __init__(
        self,
        handler: Handler,
        listener: str,
        limits: Limits,
        *,
        clock: Clock,
        sequence: Callable[[], int],
        tasks: Tasks,
        metrics: Metrics,
        log: AccessLog,
        report: Callable[[str], None],
        trusted: Networks,
        opened: Callable[[OpenConnection], None],
        lost: Callable[[OpenConnection, str], None],
        scheme: str = "http",
    ) -> None:
        self.sending: set[BodyWriter] = set()
        self.handler: Any = handler
        self.listener = listener
        self.limits = limits
        self.clock = clock
        self.tasks = tasks
        self.metrics = metrics
        self.log = log
        self.report = report
        self.trusted = trusted
        self.opened = opened
        self.lost = lost
        self.scheme = scheme
        self.draining = False
        self.date = DateField()
        self.ids = RequestIds()
        self.memo = RequestMemo(limits.memo, limits.memo_head, sequence, self.date)
