"""The values everything passes on: Headers, Request, Response, Body, Handler.

Field names keep the case they came with and are compared without it. Field values are text in
which each character stands for one byte (latin-1), so nothing is lost on the way through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias, final

Pair: TypeAlias = tuple[str, str]


@final
class Headers:
    """An immutable, ordered list of fields. Names compare without case (RFC 9110 section 5.1). `lines` is
    for the use of who sends them: the lines they become, made once for what is sent many times."""

    __slots__ = ("_index", "_pairs", "lines")

    def __init__(self, pairs: Iterable[Pair] = (), index: dict[str, list[str]] | None = None) -> None:
        """`index` is given by who has made it already: values by lower-case name, each name's in order."""
        self._pairs: tuple[Pair, ...] = tuple(pairs)
        self._index = index
        self.lines: object = None

    def _by_name(self) -> dict[str, list[str]]:
        index = self._index
        if index is None:
            index = {}
            for name, value in self._pairs:
                index.setdefault(name.lower(), []).append(value)
            self._index = index
        return index

    def get(self, name: str, default: str = "") -> str:
        """The field's lines joined with ", " (RFC 9110 section 5.3); `default` if it is absent."""
        values = self._by_name().get(name.lower())
        if values is None:
            return default
        return values[0] if len(values) == 1 else ", ".join(values)

    def all(self, name: str) -> tuple[str, ...]:
        """Each line of the field by itself, in order."""
        return tuple(self._by_name().get(name.lower(), ()))

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._by_name()

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether one of the fields `names`, in lower case, is there."""
        return not names.isdisjoint(self._by_name())

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return self._pairs

    def without(self, names: Iterable[str]) -> Headers:
        """A copy lacking every field named; the same where there is none of them."""
        unwanted = {name.lower() for name in names}
        if unwanted.isdisjoint(self._by_name()):
            return self
        return Headers([pair for pair in self._pairs if pair[0].lower() not in unwanted])

    def adding(self, pairs: Iterable[Pair]) -> Headers:
        """A copy with lines added at the end."""
        return Headers((*self._pairs, *pairs))

    def replacing(self, fields: Mapping[str, str | None]) -> Headers:
        """A copy in which each field named has exactly this one line, or none at all for None."""
        unwanted = {name.lower() for name in fields}
        kept = [pair for pair in self._pairs if pair[0].lower() not in unwanted]
        kept += [(name, value) for name, value in fields.items() if value is not None]
        return Headers(kept)


class OpenFile(Protocol):
    """A file held open for reading by descriptor."""

    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes [offset, offset + length) of an open file, to be sent without passing through us."""

    file: OpenFile
    offset: int
    length: int


Part: TypeAlias = bytes | memoryview | FileSlice


class Body(Protocol):
    """The content of a message on its way to a client.

    `length` is None when it is not known before the end. `parts` may be walked once; it raises
    BodyAborted when the content ends before its proven end. `aclose` is called exactly once by
    whoever sends the body, also when it was never walked."""

    @property
    def length(self) -> int | None: ...

    def parts(self) -> AsyncIterator[Part]: ...

    async def aclose(self) -> None: ...


@final
@dataclass(frozen=True, slots=True)
class BytesBody:
    """A body that is in memory; a server may take `data` at once instead of walking it."""

    data: bytes = b""

    @property
    def length(self) -> int:
        return len(self.data)

    async def parts(self) -> AsyncIterator[Part]:
        if self.data:
            yield self.data

    async def aclose(self) -> None:
        return None


@final
@dataclass(frozen=True, slots=True)
class HeadOnly:
    """Content that is announced but not sent: the answer to HEAD (RFC 9110 section 9.3.2)."""

    length: int | None

    async def parts(self) -> AsyncIterator[Part]:
        return
        yield b""  # an empty generator must still contain a yield

    async def aclose(self) -> None:
        return None


EMPTY = BytesBody()


class RequestBody(Protocol):
    """The content of a request, read as it arrives. Reading releases back-pressure on the client
    and, the first time, answers Expect: 100-continue. Raises BodyAborted if the client breaks off,
    RequestError 400/413/408 for bad framing, too much content or too slow a client."""

    @property
    def length(self) -> int | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Certified:
    """The verified certificate of a client. `names` are its alternative names (DNS, URI, address), or the
    common name where it has none of these; `subject` is written as in RFC 4514; `fingerprint` is the
    SHA-256 of the certificate, in hexadecimal."""

    names: tuple[str, ...]
    subject: str
    fingerprint: str


Interim: TypeAlias = Callable[[int, Headers], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, framing already checked and taken off.

    `target` is the origin-form exactly as it arrived (for absolute-form: its path and query),
    `authority` is host[:port] in lower case from the absolute-form or Host, "" for HTTP/1.0 without
    Host. `client` is the address the request is attributed to (through trusted fields), `peer` the
    other end of the socket, `certified` what its verified certificate says (None if it has none).
    `received_at` is wall-clock seconds. `interim` sends an interim response (102, 103) ahead of the
    answer; once that has begun it does nothing. `content` is the body once somebody has read it as a
    whole. `target_scheme` is that of an absolute-form target, "" for any other. `node` is the name of the
    node that asks, if it has proven to be one, "" for any other client. `is_named`: its client means the host
    that `authority` names, and knows nothing of this node, so that no mount of the node may answer."""

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)
    scheme: str = "http"
    authority: str = ""
    version: str = "1.1"
    client: str = ""
    peer: str = ""
    certified: Certified | None = None
    listener: str = ""
    body: RequestBody | None = None
    interim: Interim | None = None
    id: str = ""
    traceparent: str = ""
    received_at: float = 0.0
    content: bytes | None = None
    target_scheme: str = ""
    node: str = ""
    is_named: bool = False

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str | None:
        """The raw query without "?"; None when there is no "?" at all."""
        _, mark, query = self.target.partition("?")
        return query if mark else None


class CacheOutcome(StrEnum):
    """What the cache did for an exchange; the word of logs, metrics and explain."""

    HIT = "hit"
    STALE = "stale"
    REVALIDATED = "revalidated"
    MISS = "miss"
    BYPASS = "bypass"
    REFUSED = "refused"
    LOCAL = "local"
    TUNNEL = "tunnel"
    ERROR = "error"


class ForwardReason(StrEnum):
    """Why a request went forward (RFC 9211 section 2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange was answered, in the parameters of Cache-Status (RFC 9211). Times in seconds."""

    cache: CacheOutcome
    site: str = ""
    forward: ForwardReason | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    lifetime: float | None = None  # what is left of freshness; negative when stale
    detail: str = ""
    upstream_seconds: float | None = None  # until the upstream's head was here
    source: str = ""  # who was asked: "origin", or the name of a parent or a sibling


class Timed(Protocol):
    """Fields as a function of time, as a value; see policy.timed_fields."""

    def fields(self, now: float) -> Headers: ...


class Held(Protocol):
    """A response as held in memory. Whoever retires it sets `fresh_until` (wall-clock seconds) to 0 and
    calls `retired` if that is set, at once: others may remember the response as well."""

    fresh_until: float
    retired: Callable[[], None] | None

    @property
    def sequence(self) -> int: ...


class KeptFile(OpenFile, Protocol):
    """An open file whose bytes have been proven; `is_unchanged` while they must still be those."""

    def is_unchanged(self) -> bool: ...


class Reuse(Protocol):
    """Permission for a server to answer byte-equal requests from memory, without asking again.

    Usable while `now < fresh_until` and `sequence == current` for `held` and, where the answer was
    made from another response, for `source` (else None). `fields(now)` gives the fields of the
    answer as of now (Age and the like). Its content, `size` bytes, is `data`, or that of `file`, or in both:
    it leaves faster from a file where nothing has to be done to it. `used` is told now and then that it is
    wanted, at most once a second. `timed(now)` gives the fields in a form that another process can keep;
    None if what they are at another time is not known to be told by that, which is tried out unless it
    `is_proven` for this response already."""

    @property
    def held(self) -> Held: ...

    @property
    def source(self) -> Held | None: ...

    @property
    def data(self) -> bytes: ...

    @property
    def file(self) -> KeptFile | None: ...

    @property
    def size(self) -> int: ...

    def fields(self, now: float) -> Headers: ...

    def timed(self, now: float, *, is_proven: bool = False) -> Timed | None: ...

    def used(self) -> None: ...


Repeatable: TypeAlias = Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class Response:
    """One response on its way to a client. Framing (Content-Length, Transfer-Encoding, Connection)
    is added by the server from `body.length`; `headers` holds end-to-end fields only. `repeat`, asked each
    time with the wall-clock seconds, permits to answer the same client's same bytes with it again; it counts
    that as having been asked."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: Body = EMPTY
    outcome: Outcome = Outcome(CacheOutcome.LOCAL)
    reuse: Reuse | None = None
    close: bool = False  # end the connection after this answer
    repeat: Repeatable | None = None


class Handler(Protocol):
    """One request in, one response out. Raises RequestError only; all other trouble is an answer."""

    async def __call__(self, request: Request) -> Response: ...


AtOnce: TypeAlias = Callable[[Request], Response | None]


def at_once_of(handler: Handler) -> AtOnce | None:
    """A Handler may have a method `at_once` as well, which answers what nothing has to be awaited for, with
    content in memory; it gives None for everything else, which is then asked as usual. It never raises."""
    found: AtOnce | None = getattr(handler, "at_once", None)
    return found


Clock: TypeAlias = Callable[[], float]
