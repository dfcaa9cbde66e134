"""Where nodes announce themselves: POST /route/v1/announce."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable

import msgspec

from edgeproxy.errors import BodyAborted
from edgeproxy.message import BytesBody, Clock, Headers, Request, Response
from edgeproxy.router.announcement import BODY_BYTES_MAX, Announcement, Refused, parse
from edgeproxy.router.holdings import UnusableHoldings, decode
from edgeproxy.router.keeper import Keeper
from edgeproxy.router.registry import Registry
from edgeproxy.router.rendezvous import ranked

PATH = "/route/v1/announce"
PEERS_MAX = 16  # nodes that one is asked to look at
REPORT_SECONDS = 10.0  # between two lines about refused announcements
BODY_SECONDS = 10.0


class Peer(msgspec.Struct, frozen=True):
    """A node that another should look at: the URL that tells whether it lives."""

    name: str
    probe: str


class Heard(msgspec.Struct, frozen=True):
    """The answer to an announcement: when the next one is due (seconds), and whom to look at."""

    heartbeat: float
    peers: list[Peer]


class Announcements:
    """A Handler for requests to PATH. What is refused gets its status and one line; the log gets that line
    too, but not more often than every ten seconds."""

    def __init__(
        self, registry: Registry, keeper: Keeper, *, clock: Clock, report: Callable[[str], None]
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._clock = clock
        self._report = report
        self._reported_at = float("-inf")
        self._unreported = 0

    async def __call__(self, request: Request) -> Response:
        """Raises RequestError for a request that is malformed as such."""
        try:
            answer = await self._take(request)
        except Refused as refused:
            self._tell(request, refused)
            return _line(refused.status, str(refused))
        body = BytesBody(msgspec.json.encode(answer))
        return Response(
            200, Headers([("Content-Type", "application/json"), ("Cache-Control", "no-store")]), body
        )

    async def _take(self, request: Request) -> Heard:
        if request.method != "POST":
            raise Refused(405, "a node announces itself by POST")
        token = _bearer(request)
        self._registry.admit(token)
        body = await _content(request)
        now = self._clock()
        announcement = parse(body)
        self._registry.authorise(announcement.name, token)
        await self._heard(announcement, now)
        return Heard(self._registry.rules.heartbeat_seconds, self._peers(announcement.name, now))

    async def own(self, announcement: Announcement) -> None:
        """What the node tells in which this map is: that it lives needs no proof."""
        now = self._clock()
        try:
            await self._heard(announcement, now)
        except Refused as refused:
            self._report(f"what this node tells itself is refused: {refused}")
        self._keeper.lives(announcement.name)

    async def _heard(self, announcement: Announcement, now: float) -> None:
        """Raises Refused."""
        holds = await _holds(announcement)
        matters = self._registry.announced(announcement, now, holds)
        self._keeper.round_trips(announcement.name, announcement.round_trips)
        for seen in announcement.seen:
            self._keeper.saw(announcement.name, seen.node, seen.alive, seen.rtt)
        if matters:
            self._keeper.changed()

    def _peers(self, name: str, now: float) -> list[Peer]:
        """Whom a node looks at: for each another choice, so that each is looked at by several."""
        others = {one.node.name: one for one in self._registry.listed(now) if one.node.name != name}
        chosen = ranked(name, [(other, 1.0) for other in others])[:PEERS_MAX]
        return [Peer(other, others[other].target) for other in chosen]

    def _tell(self, request: Request, refused: Refused) -> None:
        now = self._clock()
        if now - self._reported_at < REPORT_SECONDS:
            self._unreported += 1
            return
        more = f" (and {self._unreported} more)" if self._unreported else ""
        self._report(f"announcement from {request.client} refused: {refused.status} {refused}{more}")
        self._reported_at, self._unreported = now, 0


def _bearer(request: Request) -> str:
    fields = request.headers.all("Authorization")
    scheme, _, token = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "a node proves who it is: Authorization: Bearer <token>")
    return token


async def _content(request: Request) -> bytes:
    body = request.body
    if body is None:
        return b""
    too_large = Refused(413, f"an announcement has at most {BODY_BYTES_MAX} bytes")
    if (body.length or 0) > BODY_BYTES_MAX:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in body:
                content += piece
                if len(content) > BODY_BYTES_MAX:
                    raise too_large
    except TimeoutError:
        raise Refused(408, "the announcement took too long") from None
    except BodyAborted as error:
        raise Refused(400, str(error)) from None
    return bytes(content)


async def _holds(announcement: Announcement) -> frozenset[int] | None:
    if not announcement.holds:
        return None
    try:
        packed = base64.b64decode(announcement.holds, validate=True)
        return await asyncio.to_thread(decode, packed)
    except (binascii.Error, ValueError, UnusableHoldings) as error:
        raise Refused(400, f"what {announcement.name} holds cannot be read: {error}") from None


def _line(status: int, text: str) -> Response:
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
    if status == 401:
        fields.append(("WWW-Authenticate", "Bearer"))
    if status == 405:
        fields.append(("Allow", "POST"))
    return Response(status, Headers(fields), BytesBody(f"{text}\n".encode()))
