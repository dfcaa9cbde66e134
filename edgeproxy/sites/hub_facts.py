"""What a hub has told: which commit a branch is, who may read what, what a commit holds. Bounded tables.

All of it lives on the event loop. Times are wall-clock seconds; `at` is when the hub said it, `until`
when it is asked again. What has run out is kept: it answers while the hub does not."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, TypeVar

from edgeproxy.message import Headers
from edgeproxy.sites.hub_names import Repo
from edgeproxy.sites.hub_tree import Entry, Listing, Page
from edgeproxy.sites.remembering import remember
from edgeproxy.sites.site import Unacceptable

REVISIONS_MAX = 20_000
ACCESS_MAX = 20_000
ENTRIES_MAX = 200_000
FILES_MAX = 20_000
FAILURES_MAX = 5_000
FAILURE_SECONDS = 1.0  # until a question that had no answer is asked again
KEPT_SECONDS = 10.0  # likewise, while an older answer can be used
NEGATIVE_SECONDS = 60.0
WAIT_SECONDS_MAX = 900.0
NO_AUTH_CHECK_SECONDS = 3600.0

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Kind(StrEnum):
    """What the hub counts apart when it limits how often it may be asked, as it calls them."""

    API = "api"
    FILES = "resolvers"
    PAGES = "pages"


def kind_of(target: str) -> Kind:
    """Of a raw target below the hub's root."""
    if target.startswith("/api/") and not target.startswith("/api/resolve-cache/"):
        return Kind.API
    return (
        Kind.FILES
        if "/resolve/" in target or "/raw/" in target or "/resolve-cache/" in target
        else Kind.PAGES
    )


class Level(IntEnum):
    """What a caller may see of a repository: nothing; its listing (a gated one); its files."""

    NOTHING = 0
    LISTING = 1
    FILES = 2


class Caller(NamedTuple):
    """Whose words upstream gets. `id` is a keyed hash of `authorization`, "" for nobody."""

    authorization: str = ""
    id: str = ""


NOBODY = Caller()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A "no" as the hub worded it; `fields` are those that say why."""

    status: int
    code: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """A verdict. `is_final`: more than `level` has been asked for and refused (by `refusal`). `read_at`:
    when the files were last known to be readable, 0.0 for never."""

    level: Level
    is_final: bool
    at: float
    until: float
    refusal: Refusal | None = None
    read_at: float = 0.0

    def settles(self, need: Level) -> bool:
        return self.level >= need or self.is_final


@dataclass(frozen=True, slots=True)
class Revision:
    """The commit a revision stands for; "" with a refusal if there is none."""

    commit: str
    at: float
    until: float
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that was asked for by itself. Its size is -1 while only `location` can tell it; None: the
    commit has no such file."""

    entry: Entry | None
    location: str = ""


# -- what is learned ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SawAccess:
    repo: Repo
    caller: str
    level: Level
    is_final: bool
    at: float
    is_stale: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class SawRevision:
    repo: Repo
    revision: str
    commit: str
    at: float
    is_stale: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class SawName:
    """The repository asked for as `repo` is called `canonical`."""

    repo: Repo
    canonical: Repo


@dataclass(frozen=True, slots=True)
class SawPage:
    """The page of a commit's listing that was asked for by the query `asked`."""

    inquiry: str
    repo: Repo
    commit: str
    asked: str
    page: Page


@dataclass(frozen=True, slots=True)
class SawFile:
    repo: Repo
    commit: str
    path: str
    held: HeldFile


@dataclass(frozen=True, slots=True)
class Failed:
    """An inquiry without a usable answer. `status` is what the client gets, 0 for "unreachable"."""

    inquiry: str
    message: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Limited:
    """The hub asks `caller` to ask nothing of `kind` for `seconds` and said so in `fields`. It counts those
    who bring a token each by itself, all others together."""

    seconds: float
    fields: Headers = field(default_factory=Headers)
    kind: Kind = Kind.API
    caller: str = ""


@dataclass(frozen=True, slots=True)
class WithoutAuthCheck:
    """This hub does not know the question "may I read this?"."""


@dataclass(frozen=True, slots=True)
class WithoutListings:
    """This hub has no listing of this commit to give, although the repository is there."""

    repo: Repo
    commit: str


Learned = (
    SawAccess
    | SawRevision
    | SawName
    | SawPage
    | SawFile
    | Failed
    | Limited
    | WithoutAuthCheck
    | WithoutListings
)


@dataclass(frozen=True, slots=True)
class _Failure:
    until: float
    message: str
    status: int


class Facts:
    """The tables. `revision_ttl` and `access_ttl` in seconds."""

    def __init__(self, revision_ttl: float, access_ttl: float, entries_max: int = ENTRIES_MAX) -> None:
        self._revision_ttl = revision_ttl
        self._access_ttl = access_ttl
        self._entries_max = entries_max
        self._entries = 0
        self._access: OrderedDict[tuple[Repo, str], Access] = OrderedDict()
        self._revisions: OrderedDict[tuple[Repo, str], Revision] = OrderedDict()
        self._names: OrderedDict[Repo, Repo] = OrderedDict()
        self._trees: OrderedDict[tuple[Repo, str], Listing] = OrderedDict()
        self._files: OrderedDict[tuple[Repo, str, str], HeldFile] = OrderedDict()
        self._unlisted: OrderedDict[tuple[Repo, str], None] = OrderedDict()
        self._failures: OrderedDict[str, _Failure] = OrderedDict()
        self._limits: OrderedDict[tuple[Kind, str], tuple[float, Headers]] = OrderedDict()
        self._auth_check_after = 0.0

    # -- learning ------------------------------------------------------------------------------

    def learn(self, learned: Any, now: float) -> None:
        """Takes one of Learned, or several in a tuple; anything else is not for us."""
        match learned:
            case tuple():
                for one in learned:
                    self.learn(one, now)
            case SawAccess():
                self._learn_access(learned, now)
            case SawRevision():
                self._learn_revision(learned, now)
            case SawName(repo, canonical):
                if repo == canonical:
                    self._names.pop(repo, None)
                else:
                    remember(self._names, repo, canonical, REVISIONS_MAX)
            case SawPage():
                self._learn_page(learned, now)
            case SawFile(repo, commit, path, held):
                remember(self._files, (repo, commit, path), held, FILES_MAX)
            case Failed(inquiry, message, status):
                failure = _Failure(now + FAILURE_SECONDS, message, status)
                remember(self._failures, inquiry, failure, FAILURES_MAX)
            case Limited(seconds, fields, kind, caller):
                limit = (now + min(max(1.0, seconds), WAIT_SECONDS_MAX), fields)
                remember(self._limits, (kind, caller), limit, FAILURES_MAX)
            case WithoutAuthCheck():
                self._auth_check_after = now + NO_AUTH_CHECK_SECONDS
            case WithoutListings(repo, commit):
                remember(self._unlisted, (repo, commit), None, FILES_MAX)

    def _learn_access(self, saw: SawAccess, now: float) -> None:
        key = (saw.repo, saw.caller)
        old = self._access.get(key)
        if old is not None and saw.is_stale:
            # The store gives what was said long ago; what we remember was said since then.
            fact = replace(old, until=now + KEPT_SECONDS)
        elif old is not None and saw.at < old.at:
            # Likewise, when another question told more lately.
            fact = replace(old, until=max(old.until, now + FAILURE_SECONDS))
        else:
            read_at = saw.at if saw.level is Level.FILES else 0.0
            if saw.level is Level.LISTING and not saw.is_final and old is not None:
                read_at = old.read_at
            until = now + KEPT_SECONDS if saw.is_stale else saw.at + self._access_ttl
            if saw.level is Level.NOTHING:
                until = min(until, saw.at + NEGATIVE_SECONDS)
            until = max(until, now + FAILURE_SECONDS)
            fact = Access(saw.level, saw.is_final, saw.at, until, saw.refusal, read_at)
        remember(self._access, key, fact, ACCESS_MAX)

    def _learn_revision(self, saw: SawRevision, now: float) -> None:
        key = (saw.repo, saw.revision)
        old = self._revisions.get(key)
        if old is not None and saw.is_stale:
            fact = replace(old, until=now + KEPT_SECONDS)
        else:
            until = now + KEPT_SECONDS if saw.is_stale else saw.at + self._revision_ttl
            if saw.refusal is not None:
                until = min(until, saw.at + NEGATIVE_SECONDS)
            until = max(until, now + FAILURE_SECONDS)
            fact = Revision(saw.commit, saw.at, until, saw.refusal)
        remember(self._revisions, key, fact, REVISIONS_MAX)

    def _learn_page(self, saw: SawPage, now: float) -> None:
        key = (saw.repo, saw.commit)
        listing = self._trees.get(key)
        if listing is None:
            listing = self._trees[key] = Listing()
        if listing.is_complete or saw.asked != (listing.following or ""):
            return  # somebody else's answer to this was quicker
        before = len(listing)
        try:
            listing.add(saw.page)
        except Unacceptable as error:
            self._forget_tree(key, before)
            self.learn(Failed(saw.inquiry, str(error), 502), now)
            return
        self._entries += len(listing) - before
        self._trees.move_to_end(key)
        while self._entries > self._entries_max and len(self._trees) > 1:
            oldest = next(iter(self._trees))
            self._forget_tree(oldest, len(self._trees[oldest]))

    def _forget_tree(self, key: tuple[Repo, str], counted: int) -> None:
        self._trees.pop(key, None)
        self._entries -= counted

    # -- asking --------------------------------------------------------------------------------

    def access(self, repo: Repo, caller: Caller) -> Access | None:
        return self._access.get((repo, caller.id))

    def revision(self, repo: Repo, revision: str) -> Revision | None:
        return self._revisions.get((repo, revision))

    def canonical(self, repo: Repo) -> Repo:
        return self._names.get(repo, repo)

    def listing(self, repo: Repo, commit: str) -> Listing | None:
        found = self._trees.get((repo, commit))
        if found is not None:
            self._trees.move_to_end((repo, commit))
        return found

    def file(self, repo: Repo, commit: str, path: str) -> HeldFile | None:
        return self._files.get((repo, commit, path))

    def is_unlisted(self, repo: Repo, commit: str) -> bool:
        return (repo, commit) in self._unlisted

    def failure(self, inquiry: str, now: float) -> Failed | None:
        """The failure of an inquiry that is not to be tried again yet."""
        found = self._failures.get(inquiry)
        if found is None or found.until <= now:
            return None
        return Failed(inquiry, found.message, found.status)

    def has_auth_check(self, now: float) -> bool:
        return now >= self._auth_check_after

    def wait(self, now: float, kind: Kind, caller: Caller) -> float:
        """For how many seconds the hub must not be asked anything of `kind`; 0.0 if it may be."""
        limit = self._limits.get((kind, caller.id))
        return max(0.0, limit[0] - now) if limit is not None else 0.0

    def limit_fields(self, now: float, kind: Kind, caller: Caller) -> Headers:
        """What the hub said about this limit, with the time as of `now`."""
        left = str(int(self.wait(now, kind, caller)) + 1)
        _, fields = self._limits.get((kind, caller.id), (0.0, Headers()))
        return fields.replacing({"Retry-After": left, "RateLimit": f'"{kind}";r=0;t={left}'})
