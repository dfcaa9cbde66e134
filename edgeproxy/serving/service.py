"""What all connections of one listener share."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from edgeproxy.config import Limits
from edgeproxy.message import Clock, Handler, Headers, Request, Response, at_once_of
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.body_writer import BodyWriter
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.head import Head
from edgeproxy.serving.http2_memo import RememberedFrames
from edgeproxy.serving.repeats import Repeats
from edgeproxy.serving.request_memo import Remembered, RequestMemo
from edgeproxy.serving.response_head import DateField
from edgeproxy.serving.trace import RequestIds
from edgeproxy.tasks import Tasks


class Waiting(Protocol):
    """What the sweep looks at. `pulse` tells what is waited for, how many seconds of that are
    allowed, and a mark that changes with any progress; `expire` is told that there was none."""

    pulse_seen: tuple[object, ...]
    pulse_since: float

    def pulse(self) -> tuple[str, float, object, object]: ...

    def expire(self, phase: str) -> None: ...


class OpenConnection(Waiting, Protocol):
    """A client connection as the listener and the sweep see it; its `streams` wait each for itself. `served`
    counts requests, `endpoint` is there until `lost` has been told."""

    served: int

    @property
    def peer(self) -> str: ...

    @property
    def endpoint(self) -> socket.socket | None: ...

    @property
    def streams(self) -> Iterable[Waiting]: ...

    @property
    def is_idle(self) -> bool: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Reset(Protocol):
    """How two that share a pair of sockets tell each other of what such a pair does not carry."""

    abort: Callable[[str], None]

    def reset(self) -> None: ...


class Reached(Protocol):
    """Where a CONNECT leads. `take` is called once: the client has been told `head`, and `connected` is its
    socket, which is Reached's from now on; `early` is what it had sent already. Where the socket is one of a
    pair, `resets` is there: Reached calls `reset` before it breaks off, and may set what to call when the
    client does."""

    @property
    def head(self) -> bytes: ...

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None: ...

    def drop(self) -> None:
        """The client left before."""
        ...


class Connects(Protocol):
    """What is done with CONNECT (RFC 9110 section 9.3.6). `upgrades` are for hosts that are answered here."""

    @property
    def upgrades(self) -> Upgrades | None: ...

    def at_once(self, service: Service, request: Request) -> Reached | None:
        """`reach`, where nothing has to be waited for and nothing is refused. Its `take` watches the socket
        (loop.add_reader) when it returns, so that a watch from before is replaced."""
        ...

    async def reach(self, service: Service, request: Request) -> Response | Reached:
        """A Response refuses. Raises nothing a client could bring about."""
        ...

    async def taken(self, service: Service, connected: socket.socket, peer: str) -> None:
        """A connection, meant for somebody else, that a firewall has turned to us; it has entered already."""
        ...


class Upgrades(Protocol):
    """What is done with requests to switch to another protocol (RFC 9110 section 7.8)."""

    def takes(self, method: str, version: str, headers: Headers) -> bool:
        """Whether a request without content is one. Any other is answered as if it asked for nothing."""
        ...

    async def reach(self, service: Service, request: Request) -> Response | Reached:
        """A Response where nothing is switched. Raises nothing a client could bring about."""
        ...


class Service:
    """The handler of a listener with everything needed to serve it. `lost` is told of each
    connection that ended and the peer it came from, `turned` of one that goes on as another. `connects`
    answers CONNECT, `upgrades` who wants another protocol; what goes on from there is served by `named`
    (by scheme), whose clients mean the host. `readmit` counts a client once more whose connection is taken
    over, until it is `opened` or `gave_up`; `admit` does so where limits permit, else it names the limit.
    `expects_connect`: the last connection began with a CONNECT that could be answered at once; such heads, as
    understood under the limits in force, are `connect_heads`."""

    __slots__ = (
        "admit",
        "at_once",
        "clock",
        "connect_heads",
        "connects",
        "date",
        "draining",
        "expects_connect",
        "gave_up",
        "handler",
        "ids",
        "is_named",
        "limits",
        "listener",
        "log",
        "lost",
        "memo",
        "memo_of_frames",
        "metrics",
        "named",
        "opened",
        "readmit",
        "repeats",
        "report",
        "scheme",
        "sending",
        "tasks",
        "trusted",
        "turned",
        "upgrades",
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
        turned: Callable[[OpenConnection, OpenConnection], None],
        scheme: str = "http",
        connects: Connects | None = None,
        upgrades: Upgrades | None = None,
        readmit: Callable[[str], None] = lambda _peer: None,
        admit: Callable[[str, int], str | None] = lambda _peer, _descriptor: None,
        gave_up: Callable[[str], None] = lambda _peer: None,
        named: Mapping[str, Service] | None = None,
        is_named: bool = False,
    ) -> None:
        self.is_named = is_named
        self.connects = connects
        self.upgrades = upgrades
        self.readmit = readmit
        self.admit = admit
        self.gave_up = gave_up
        self.named: Mapping[str, Service] = named or {}
        self.sending: set[BodyWriter] = set()
        self.handler: Any = handler
        self.at_once = at_once_of(handler)
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
        self.turned = turned
        self.scheme = scheme
        self.draining = False
        self.expects_connect = False
        self.connect_heads: dict[bytes, Head] = {}
        self.date = DateField()
        self.repeats = Repeats(limits.memo, self.date)
        self.ids = RequestIds()
        self.memo: RequestMemo[Remembered] = RequestMemo(limits.memo, limits.memo_head, sequence, self.date)
        self.memo_of_frames: RequestMemo[RememberedFrames] = RequestMemo(
            limits.memo, limits.memo_head, sequence, self.date
        )

    def serve(self, handler: Handler) -> None:
        """Ask another handler from now on."""
        self.handler, self.at_once = handler, at_once_of(handler)
        self.repeats.clear()
