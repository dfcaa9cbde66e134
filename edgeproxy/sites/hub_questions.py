"""What a hub is asked before a request can be planned, and how its answers are read.

Each question goes through the store like any request, so that what does not change is asked once, and
what was said is still known after a restart. Words of one caller never enter a key: a keyed hash does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from edgeproxy.message import Headers
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites import hub_names
from edgeproxy.sites.hub_facts import (
    NOBODY,
    Caller,
    Failed,
    HeldFile,
    Kind,
    Learned,
    Level,
    Limited,
    Refusal,
    SawAccess,
    SawFile,
    SawName,
    SawPage,
    SawRevision,
    WithoutAuthCheck,
    WithoutListings,
    kind_of,
)
from edgeproxy.sites.hub_names import Repo
from edgeproxy.sites.hub_rules import HubRules
from edgeproxy.sites.hub_settings import Hub
from edgeproxy.sites.hub_tree import FILE_BYTES_MAX, Entry, read_page
from edgeproxy.sites.site import Derived, Inquiry, Plan, Seen, Unacceptable

WAIT_SECONDS = 30.0  # after 429 without a word about how long
_REFUSAL_FIELDS = ("X-Error-Code", "X-Error-Message", "WWW-Authenticate")
_LIMIT_FIELDS = ("RateLimit", "RateLimit-Policy", "Retry-After")
_SPENT = re.compile(r'"([a-z_-]{1,40})";[^,]*\br=0\b[^,]*', re.ASCII)
_RESET = re.compile(r"\bt=([0-9]{1,6})", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}", re.ASCII)
_KINDS = frozenset(Kind)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_ETAG = re.compile(r'(?:W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?', re.ASCII)

Learns = tuple[Learned, ...]
LearnLimits = Callable[[tuple[Limited, ...]], None]


class Checked:
    """A view that changes nothing, but lets nothing be stored that `check` finds unacceptable."""

    volatile = True

    def __init__(self, id_: str, check: Callable[[bytes, Headers], Any]) -> None:
        self.id = id_
        self._check = check

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        self._check(body, stored.headers)
        return Derived(stored.headers, body)


class Questions:
    """Makes the inquiries of one hub. `learn` is told what answers say about its limits."""

    def __init__(self, hub: Hub, rules: HubRules, learn: LearnLimits) -> None:
        self._learn = learn
        self._origin = hub.origin
        self._prefix = hub.prefix
        self._reach = hub.reach
        self._rules = rules

    def info(self, repo: Repo, revision: str, caller: Caller, *, quiet: bool) -> Inquiry:
        """Which commit `revision` is ("": the default), and whether `caller` may see the repository.
        `quiet`: only what is stored may answer."""
        at = f"/revision/{hub_names.quoted_revision(revision)}" if revision else ""
        plan = self._plan(f"{repo.api}{at}", self._rules.info, caller, quiet=quiet)
        plan = replace(plan, view=Checked("hub info", _read_info), tags=(repo.tag,), name=repo.id)
        return self._inquiry(plan, _InfoRead(repo, revision, caller.id))

    def auth_check(self, repo: Repo, caller: Caller, *, quiet: bool) -> Inquiry:
        """Whether `caller` may read the files of a repository whose listing is public."""
        plan = self._plan(f"{repo.api}/auth-check", self._rules.personal, caller, quiet=quiet)
        return self._inquiry(replace(plan, key_suffix=f"{plan.key_suffix} check"), _AuthRead(repo, caller.id))

    def may_read(self, file: hub_names.File, caller: Caller, *, quiet: bool) -> Inquiry:
        """The same of a hub without that question: HEAD of a file. Its answer is never taken from store."""
        target = hub_names.file_target(replace(file, verb="resolve"), file.revision.replace("/", "%2F"))
        plan = self._plan(target, self._rules.personal, caller, quiet=quiet, redirects=False)
        plan = replace(plan, key_suffix=f"{plan.key_suffix} may read")
        return self._inquiry(plan, _MayRead(inquiry_id("HEAD", plan), file.repo, caller.id), "HEAD")

    def page(self, repo: Repo, commit: str, query: str, caller: Caller, *, quiet: bool) -> Inquiry:
        """A page of the listing of a commit; `query` is "" for the first."""
        target = f"{repo.api}/tree/{commit}?{query or 'recursive=true'}"
        plan = self._plan(target, self._rules.listing, caller, quiet=quiet)
        # Who asks here has been found to be allowed to: the same page serves all who are.
        plan = replace(plan, key_suffix="" if caller == NOBODY else " private")
        view = Checked("hub listing", lambda data, headers: read_page(data, headers.get("Link")))
        plan = replace(plan, view=view, tags=(repo.tag, f"commit:{commit}"), name=f"{repo.id} tree")
        return self._inquiry(plan, _PageRead(inquiry_id("GET", plan), repo, commit, query))

    def head(self, file: hub_names.File, location: str, caller: Caller, *, quiet: bool) -> Inquiry:
        """One file of a commit by itself, where its listing is too long. `location` is where the hub's
        answer about it led, if it has been asked before."""
        target = location or self._prefix + hub_names.file_target(file, file.revision)
        plan = self._plan(target, self._rules.personal, caller, quiet=quiet, redirects=False, prefixed=True)
        plan = replace(plan, key_suffix=f"{plan.key_suffix} head")
        return self._inquiry(plan, _HeadRead(inquiry_id("HEAD", plan), file, bool(location)), "HEAD")

    def _plan(
        self,
        target: str,
        rules: Rules,
        caller: Caller,
        *,
        quiet: bool,
        redirects: bool = True,
        prefixed: bool = False,
    ) -> Plan:
        fields: Mapping[str, str | None] = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Cookie": None,
            "Authorization": caller.authorization or None,
        }
        return Plan(
            origin=self._origin,
            target=target if prefixed else self._prefix + target,
            rules=replace(rules, offline=True) if quiet else rules,
            reach=self._reach,
            key_suffix=f" for={caller.id}" if caller.id else "",
            fields=fields,
            redirects=frozenset({self._origin.host}) if redirects else frozenset(),
            notice=LimitNotice(kind_of(target), caller.id, self._learn),
        )

    def _inquiry(self, plan: Plan, read: _Reading, method: str = "GET") -> Inquiry:
        id_ = inquiry_id(method, plan)
        return Inquiry(id_, plan, _Read(id_, read), method)


def inquiry_id(method: str, plan: Plan) -> str:
    """Asking the store alone is another question than asking upstream as well."""
    return f"{method} {plan.key}{' quiet' if plan.rules.offline else ''}"


# -- reading -----------------------------------------------------------------------------------

_Reading = Callable[[Seen], Learns]


@dataclass(frozen=True, slots=True)
class _Read:
    """What all readings have in common: no answer, too many questions, and content that is not what it
    claims to be are failures, whatever was asked."""

    inquiry: str
    read: _Reading

    def __call__(self, seen: Seen) -> Learns:
        failed = Failed(self.inquiry, seen.error or f"the hub answered {seen.status}")
        if seen.status == 0 or seen.status >= 500 or seen.status in (408, 425, 429):
            return (failed,)
        try:
            return self.read(seen)
        except Unacceptable as error:
            return (Failed(self.inquiry, str(error), 502),)


def limits(status: int, headers: Headers, kind: Kind, caller: str) -> tuple[Limited, ...]:
    """What the head of an answer says about how often `caller` may ask the hub
    (draft-ietf-httpapi-ratelimit-headers). `kind` is what was asked."""
    fields = Headers((name, headers.get(name)) for name in _LIMIT_FIELDS if name in headers)
    found: list[Limited] = []
    for spent in _SPENT.finditer(headers.get("RateLimit")):
        reset = _RESET.search(spent[0])
        if spent[1] in _KINDS and reset is not None and int(reset[1]) > 0:
            found.append(Limited(float(reset[1]), fields, Kind(spent[1]), caller))
    if status == 429 and not found:
        after = _SECONDS.fullmatch(headers.get("Retry-After"))
        found.append(Limited(float(after[0]) if after else WAIT_SECONDS, fields, kind, caller))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LimitNotice:
    """Tells what the head of an answer says about the hub's limits."""

    kind: Kind
    caller: str
    learn: LearnLimits

    def __call__(self, status: int, headers: Headers) -> None:
        if status == 429 or "RateLimit" in headers:
            found = limits(status, headers, self.kind, self.caller)
            if found:
                self.learn(found)


def said_at(seen: Seen) -> float:
    """When the hub said it, in wall-clock seconds: the store's answers tell their age."""
    age = seen.headers.get("Age")
    return seen.at - float(age) if _LENGTH.fullmatch(age) else seen.at


def refusal(seen: Seen) -> Refusal:
    """The hub's "no" with the fields in which it says why."""
    fields = tuple((name, seen.headers.get(name)) for name in _REFUSAL_FIELDS if name in seen.headers)
    code, message = seen.headers.get("X-Error-Code"), seen.headers.get("X-Error-Message")
    return Refusal(seen.status, code, message, fields)


@dataclass(frozen=True, slots=True)
class _Info:
    id: str
    sha: str
    level: Level
    is_final: bool


def _read_info(data: bytes, headers: Headers) -> _Info:
    try:
        info = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unacceptable("what the hub says about the repository is no JSON") from error
    if not isinstance(info, dict):
        raise Unacceptable("what the hub says about the repository is no object")
    id_, sha = info.get("id"), info.get("sha")
    # The listing of a gated repository is public, its files are not; who does not say is asked again.
    is_open = info.get("gated") is False and not info.get("disabled")
    return _Info(
        id_ if isinstance(id_, str) else "",
        sha if isinstance(sha, str) and hub_names.is_commit(sha) else "",
        Level.FILES if is_open else Level.LISTING,
        is_open,
    )


@dataclass(frozen=True, slots=True)
class _InfoRead:
    repo: Repo
    revision: str
    caller: str

    def __call__(self, seen: Seen) -> Learns:
        if seen.status != 200:
            return self._refused(seen)
        info = _read_info(seen.data, seen.headers)
        at = said_at(seen)
        named = hub_names.repo(self.repo.kind, *info.id.split("/")) or self.repo
        learned: list[Learned] = [SawName(self.repo, named)]
        for repo in dict.fromkeys((self.repo, named)):
            learned.append(SawAccess(repo, self.caller, info.level, info.is_final, at, seen.is_stale))
            if self.revision and info.sha:
                learned.append(SawRevision(repo, self.revision, info.sha, at, seen.is_stale))
        if self.revision and not info.sha:
            raise Unacceptable("the hub does not say which commit this revision is")
        return tuple(learned)

    def _refused(self, seen: Seen) -> Learns:
        said = refusal(seen)
        about_revision = said.code == "RevisionNotFound" or seen.status not in (401, 403, 404, 410)
        if about_revision and self.revision:
            return (SawRevision(self.repo, self.revision, "", said_at(seen), refusal=said),)
        return (SawAccess(self.repo, self.caller, Level.NOTHING, True, said_at(seen), refusal=said),)


@dataclass(frozen=True, slots=True)
class _AuthRead:
    repo: Repo
    caller: str

    def __call__(self, seen: Seen) -> Learns:
        level = Level.LISTING
        if seen.status in (200, 204):
            return (SawAccess(self.repo, self.caller, Level.FILES, True, said_at(seen)),)
        said = refusal(seen)
        if seen.status == 404 and said.code == "RepoNotFound":
            level = Level.NOTHING
        elif seen.status not in (401, 403):
            return (WithoutAuthCheck(),)
        return (SawAccess(self.repo, self.caller, level, True, said_at(seen), refusal=said),)


@dataclass(frozen=True, slots=True)
class _MayRead:
    """A file that is not there tells nothing about those that are."""

    inquiry: str
    repo: Repo
    caller: str

    def __call__(self, seen: Seen) -> Learns:
        at = said_at(seen)
        if seen.status in (200, 302, 303, 307, 308):
            return (SawAccess(self.repo, self.caller, Level.FILES, True, at),)
        said = refusal(seen)
        if seen.status in (401, 403):
            return (SawAccess(self.repo, self.caller, Level.LISTING, True, at, refusal=said),)
        return (Failed(self.inquiry, f"the hub answered {seen.status}", seen.status),)


@dataclass(frozen=True, slots=True)
class _PageRead:
    inquiry: str
    repo: Repo
    commit: str
    query: str

    def __call__(self, seen: Seen) -> Learns:
        if seen.status == 200:
            page = read_page(seen.data, seen.headers.get("Link"))
            return (SawPage(self.inquiry, self.repo, self.commit, self.query, page),)
        said = refusal(seen)
        if said.code == "RevisionNotFound":
            return (SawRevision(self.repo, self.commit, "", said_at(seen), refusal=said),)
        if seen.status in (404, 405, 410) and said.code in ("", "EntryNotFound"):
            return (WithoutListings(self.repo, self.commit),)
        return (Failed(self.inquiry, f"the hub answered {seen.status} for its listing", seen.status),)


@dataclass(frozen=True, slots=True)
class _HeadRead:
    inquiry: str
    file: hub_names.File
    has_followed: bool

    def __call__(self, seen: Seen) -> Learns:
        file, headers = self.file, seen.headers
        said = refusal(seen)
        if seen.status == 404 and said.code == "EntryNotFound":
            return (SawFile(file.repo, file.revision, file.path, HeldFile(None)),)
        if seen.status == 404 and said.code == "RevisionNotFound":
            return (SawRevision(file.repo, file.revision, "", said_at(seen), refusal=said),)
        if seen.status not in (200, 301, 302, 303, 307, 308):
            return (Failed(self.inquiry, f"the hub answered {seen.status} for this file", seen.status),)
        commit = headers.get("X-Repo-Commit")
        etag = _ETAG.fullmatch(headers.get("X-Linked-Etag") or headers.get("ETag"))
        if etag is None or commit not in ("", file.revision):
            raise Unacceptable("the hub does not say what this file is")
        length = headers.get("X-Linked-Size") or (headers.get("Content-Length") if seen.status == 200 else "")
        size = int(length) if _LENGTH.fullmatch(length) else -1
        if size > FILE_BYTES_MAX:
            raise Unacceptable("the hub gives this file an absurd size")
        location = headers.get("Location") if size < 0 and not self.has_followed else ""
        location = location if location.startswith("/") and not location.startswith("//") else ""
        digest = bytes.fromhex(etag[1])
        oid, sha256 = (digest, b"") if len(digest) == 20 else (b"", digest)
        entry = Entry(file.path, False, oid, size, sha256)
        return (SawFile(file.repo, file.revision, file.path, HeldFile(entry, location)),)
