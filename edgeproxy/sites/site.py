"""The interface between the pipeline and the knowledge of a kind of site.

A site maps a request to a Plan: which upstream resource answers it, under which rules, what its
bytes must be, and which view of it the client gets. The pipeline does what the plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from edgeproxy.errors import EdgeError
from edgeproxy.message import Clock, Headers, Request, Response
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.upstream.upstream import Origin, Reach


class Unacceptable(EdgeError):
    """A view's source is not what it claims to be: treated as a failure of the upstream.
    `learned`, if any, is handed to Site.learn all the same."""

    def __init__(self, message: str, learned: Any = None) -> None:
        super().__init__(message)
        self.learned = learned


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known about a body before it arrives; digests in lower-case hex. `git_sha1` is that of
    git's blob: "blob <size>" and a NUL before the content."""

    sha256: str = ""
    size: int | None = None
    git_sha1: str = ""

    @property
    def is_provable(self) -> bool:
        """Whether the content can be compared with a digest."""
        return bool(self.sha256 or self.git_sha1)


@dataclass(frozen=True, slots=True)
class Derived:
    """A view of a stored body. `learned` is handed to Site.learn on the event loop."""

    fields: Headers
    data: bytes
    learned: Any = None


class View(Protocol):
    """A pure function of a stored body, computed once for each body, in a thread, and stored.

    `id` names kind, version and parameters: same id and same body give the same bytes. A `volatile`
    view depends on more than that (what else is stored, say) and is computed for each answer."""

    @property
    def id(self) -> str: ...

    @property
    def volatile(self) -> bool: ...

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        """Raises Unacceptable when `body` cannot be what was asked for. `previous` is the response
        that `stored` would replace, if any (serial guards compare)."""
        ...


class Presentation(Protocol):
    """Final touch on the fields a client gets; pure, called for each answer not from the memo. Say by
    Steady how it depends on time."""

    def __call__(self, headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers: ...


class Notice(Protocol):
    """Told of each head that the plan's own origin sends; quick, on the event loop."""

    def __call__(self, status: int, headers: Headers) -> None: ...


@dataclass(frozen=True, slots=True)
class Steady:
    """A Presentation whose fields do not depend on time while the response is fresh, but for the number at
    the end of the fields `left` (lower case): the whole seconds of freshness that are left. Other processes
    of the node may then repeat an answer without asking."""

    present: Presentation
    left: tuple[str, ...] = ()

    def __call__(self, headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers:
        return self.present(headers, stored, now, stale)


class Relay(Protocol):
    """Final touch on the fields of a response that is passed on to one client, or of the node's own word
    that there is none; pure. `url` is the upstream URL that answered, "" for the node's own."""

    def __call__(self, status: int, headers: Headers, url: str) -> Headers: ...


class Transform(Protocol):
    """Another content for a response that is passed on to one client; called in a thread with the
    whole content. Raises Unacceptable if it is not what was asked for."""

    def __call__(self, status: int, headers: Headers, data: bytes) -> tuple[Headers, bytes]: ...


class Layout(Protocol):
    """A representation made of slices of a body with literal bytes between them; pure.

    `size` is its length, `pieces` gives [start, end) of it in order: bytes, or (start, end) of the
    body underneath."""

    @property
    def size(self) -> int: ...

    def pieces(self, start: int, end: int) -> Iterable[bytes | tuple[int, int]]: ...


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What the client will probably ask next: raw targets below the mount, in order. Prefetched at low
    priority with this client's credentials, until nobody asks for anything of `group` any more."""

    group: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is answered.

    The cache key is `origin.url + key_target`, where key_target is what is sent upstream unless the
    site says otherwise: key and request cannot differ. `fields` are set (or removed, for None) in the
    request towards upstream. `prerequisite` is a resource of this site to be seen first, if this one
    is not stored: its view teaches the site what to expect, then `Site.plan` is asked again.
    `otherwise` answers instead if this resource fails or is missing upstream. `missing` is handed to
    Site.learn when upstream's 404 or 410 is believed, also where the rules count it as a failure."""

    origin: Origin
    target: str
    rules: Rules
    reach: Reach = Reach()
    key_suffix: str = ""  # e.g. keyed hash of a credential
    key_target: str = ""  # instead of a target that holds a signature
    fields: Mapping[str, str | None] = field(default_factory=dict)
    expected: Expected = Expected()
    view: View | None = None
    present: Presentation | None = None
    prerequisite: Plan | None = None
    prerequisite_always: bool = False  # also if this one is stored; then of any age
    otherwise: Plan | None = None
    missing: Any = None
    tags: tuple[str, ...] = ()
    name: str = ""
    group: str = ""  # of what is used together; eviction treats it as one
    redirects: frozenset[str] = frozenset()  # host names to which upstream redirects are followed;
    # one that starts with "." stands for every name under it
    keep_authorization: bool = False  # the client's Authorization goes upstream
    prefetch_bytes_max: int = 0  # a cold range starts a whole fill behind it up to this size
    finish_without_readers: bool = False  # the fill goes on when nobody reads any more
    known: Headers | None = None
    relay: Relay | None = None  # for answers that are passed, not stored
    transform: Transform | None = None  # likewise, with the whole content (at most 64 MiB)
    upcoming: Upcoming | None = None
    layout: Layout | None = None  # what is sent is not the body as it is; needs `known` and the size
    source: str = ""  # which of several upstreams this is, for people
    is_judged: bool = False  # who may have it is asked each time: no memory of requests may answer instead
    notice: Notice | None = None
    # Asked when upstream gave no answer and the store has none: what the site says then, None for nothing.
    instead: Callable[[], Response | None] | None = None

    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = f"{self.origin.url}{self.key_target or self.target}{self.key_suffix}"
        object.__setattr__(self, "key", key)  # asked for a score of times


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of an inquiry. `status` is 0 when there was no answer, and `error` says why. `is_stale`:
    the answer comes from the store because upstream gave none. `at`: wall-clock seconds."""

    status: int
    headers: Headers = field(default_factory=Headers)
    data: bytes = b""
    error: str = ""
    is_stale: bool = False
    at: float = 0.0


class Read(Protocol):
    """What a site makes of what it has seen; called in a thread, pure but for a Ledger. The result goes to
    Site.learn."""

    def __call__(self, seen: Seen) -> Any: ...


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Something to be asked before a request can be planned: GET (or HEAD) of `plan`, through the store
    like any other, without fields of the client's. `read` makes of the answer what Site.learn is told;
    then Site.plan is asked again. Everybody who waits for the same `id` shares one exchange. A site
    must learn something from failure too, or it would ask for ever (it is asked at most 256 times)."""

    id: str
    plan: Plan
    read: Read
    method: str = "GET"
    content_bytes_max: int = 64 << 20


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """The request can be planned only with its content: Site.plan is asked again with `Request.content`
    set, or the client gets 413."""

    bytes_max: int


Planned = Plan | Response | Inquiry | ContentWanted


class Ledger(Protocol):
    """Facts a site must not forget, by name, whatever is evicted or purged. Both block: `read` is for
    the time when sites are built (raises StorageError), `add` for Inquiry.read, which runs in a thread;
    what it was told is on disk when it returns, unless there was trouble, which is reported."""

    def read(self) -> Mapping[str, str]: ...

    def add(self, name: str, value: str) -> None: ...


class Forgetful:
    """A ledger without a disk."""

    def read(self) -> Mapping[str, str]:
        return {}

    def add(self, name: str, value: str) -> None:
        return None


def _forgetful(name: str) -> Ledger:
    return Forgetful()


@dataclass(frozen=True, slots=True)
class SiteContext:
    """What a site may know of the node. `stored_keys` tells which cache keys are stored; it blocks
    and may be called only from View.derive, which runs in a thread. `clock` is wall-clock seconds.
    `ledger` gives the ledger of a name, `listens` are the addresses at which the node serves clients."""

    node: str
    offline: bool
    reach: Reach
    clock: Clock
    stored_keys: Callable[[Sequence[str]], frozenset[str]]
    ledger: Callable[[str], Ledger] = _forgetful
    listens: tuple[str, ...] = ()


class Site(Protocol):
    """`plan` returns a Plan, a Response when no upstream is needed (redirect, 404, 405), or what has to
    be known first. It raises RequestError for requests that are wrong in themselves."""

    @property
    def name(self) -> str: ...

    def plan(self, request: Request, path: str) -> Planned:
        """`path` is the raw target (with query) below the mount, starting with "/"."""
        ...

    def learn(self, learned: Any) -> None: ...


def plans_by_target(site: Site) -> bool:
    """Whether what a site says to `plan` depends on the method, the target and the authority of a request and
    on nothing else, as long as it lives. A site says so by an attribute of this name that is True."""
    return getattr(site, "plans_by_target", False) is True


@dataclass(frozen=True, slots=True)
class Realm:
    """What may be asked for under the name of an upstream: raw targets of `origin` below `prefix`, which
    has no slash at its end ("" for all of them)."""

    origin: Origin
    prefix: str = ""

    def below(self, target: str) -> str | None:
        """The rest of `target` after the prefix, starting with "/"; None if the realm does not hold it.
        The prefix itself, without a slash, is another resource than its folder: it is not held."""
        if not target.startswith(f"{self.prefix}/"):
            return None
        return target[len(self.prefix) :]


@runtime_checkable
class NamedSite(Protocol):
    """A Site that can also be asked under its upstreams' own names: by a node of which this one is the
    parent, or by a client that does not know about this node.

    The answer is the upstream's own, with its fields and without a word rewritten; it lies in the store
    under the same key as that which clients of the mount get. `realms` are those of the configuration,
    `origins` all upstreams it uses, those it has learned of included."""

    @property
    def realms(self) -> tuple[Realm, ...]: ...

    @property
    def origins(self) -> tuple[Origin, ...]: ...

    def realm_of(self, origin: Origin, target: str, *, is_node: bool) -> Realm | None:
        """The realm of an origin that is not in the configuration; None if that is not this site's."""
        ...

    def plan_named(self, request: Request, origin: Origin, target: str) -> Planned | None:
        """`target` is the raw target as it would be sent to `origin`; None if that is not this site's.
        Raises RequestError like `plan`."""
        ...


@runtime_checkable
class ReachingSite(Protocol):
    """A NamedSite that tells how its upstreams are reached, for what it does not plan: a client that
    means the host gets all of it."""

    def reach_of(self, origin: Origin) -> Reach: ...
