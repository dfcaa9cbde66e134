"""What a server and the filler say to each other. Arrays with a number for the kind: small, and fast to read.

server                                   filler
                      <- Hello           the channel is heard
Ask                   ->
                      <- Taken(4)        the request's content is wanted, so many pieces of it
content, ContentEnd   ->                 or ContentBroken
                      <- Interim
                      <- Answer          content follows at once if it is `inline`; or Refused
                      <- content, Slice  with a file's descriptor when it is new
Taken(1)              ->                 for each part that has been sent on
                      <- End             or Broken"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from edgeproxy.message import Certified, Outcome, Pair
from edgeproxy.policy.timed_fields import TimedFields
from edgeproxy.router.announcement import RoundTrip


class _Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message."""


class Hello(_Said, tag=0, frozen=True):
    """The filler has accepted the channel."""


class Ask(_Said, tag=1, frozen=True):
    """A message.Request. `content_length` matters where `has_content`."""

    method: str
    target: str
    headers: tuple[Pair, ...]
    scheme: str
    authority: str
    version: str
    client: str
    peer: str
    listener: str
    id: str
    traceparent: str
    received_at: float
    takes_interim: bool
    has_content: bool
    content_length: int | None
    certified: Certified | None
    target_scheme: str
    is_named: bool = False


class ContentEnd(_Said, tag=2, frozen=True):
    """The proven end of the request's content."""


class ContentBroken(_Said, tag=3, frozen=True):
    """The request's content ends early; `status` as in RequestError, 0 if the client left."""

    status: int
    text: str


class Taken(_Said, tag=4, frozen=True):
    """So many more pieces may come (content), or have been sent on (parts)."""

    count: int


class Interim(_Said, tag=5, frozen=True):
    """An interim response."""

    status: int
    headers: tuple[Pair, ...]


class Mark(_Said, tag=6, frozen=True):
    """A held response: usable while `slot` of the shared table holds `generation`, see message.Held."""

    slot: int
    generation: int
    fresh_until: float
    sequence: int


class Reusing(_Said, tag=7, frozen=True):
    """A message.Reuse that can be sent; the data is the answer's content."""

    held: Mark
    source: Mark | None
    fields: TimedFields


class Answer(_Said, tag=8, frozen=True):
    """The head of a message.Response. `is_head` if no content is to be sent although there may be a
    length; `inline` if all of it, or what `reuse` needs, is the next frame."""

    status: int
    headers: tuple[Pair, ...]
    outcome: Outcome
    close: bool
    length: int | None
    is_head: bool
    inline: bool
    reuse: Reusing | None = None


class Refused(_Said, tag=9, frozen=True):
    """A RequestError."""

    status: int
    text: str
    close: bool


class Slice(_Said, tag=10, frozen=True):
    """A message.FileSlice of file number `file`; the first of a file brings its descriptor."""

    file: int
    offset: int
    length: int
    is_new: bool


class End(_Said, tag=11, frozen=True):
    """The proven end of the answer's content."""

    trailers: tuple[Pair, ...] = ()


class Broken(_Said, tag=12, frozen=True):
    """The answer's content ends early: it must not look whole."""

    text: str


class Noticed(msgspec.Struct, array_like=True, frozen=True):
    """What a server noticed since its last report, for routers: seconds of processor time, the mean lateness
    of its event loop (seconds), how far its clients are (at most `router.announcement.ROUND_TRIPS_MAX`
    prefixes)."""

    processor_seconds: float
    late_seconds: float
    round_trips: list[RoundTrip]


class Report(_Said, tag=13, frozen=True):
    """What a server counted since its last report, its gauges now, the marks it used, what it noticed if
    anybody wants to know, and what it has to tell people (None: the same as before)."""

    counters: list[tuple[str, tuple[str, ...], int]]
    histograms: list[tuple[str, tuple[str, ...], list[int], float]]
    gauges: dict[str, float]
    used: list[tuple[int, int]]
    noticed: Noticed | None = None
    told: dict[str, Any] | None = None


Message: TypeAlias = (
    Hello
    | Ask
    | ContentEnd
    | ContentBroken
    | Taken
    | Interim
    | Answer
    | Refused
    | Slice
    | End
    | Broken
    | Report
)

DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
