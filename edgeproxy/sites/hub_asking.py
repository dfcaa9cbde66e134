"""What has to be known of a hub before an answer: from the tables, or by asking first.

Every method returns what was wanted, or the Inquiry that will tell, or the Response that says no. Who
may read comes first, then which commit, then what the commit holds; a hit in the store skips none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgeproxy.message import Request, Response
from edgeproxy.sites import hub_answers, hub_names
from edgeproxy.sites.hub_facts import NOBODY, Access, Caller, Facts, Failed, Kind, Level
from edgeproxy.sites.hub_names import File, Repo
from edgeproxy.sites.hub_questions import Questions
from edgeproxy.sites.hub_rules import OFFLINE, UNREACHABLE
from edgeproxy.sites.hub_tree import Entry, Listing
from edgeproxy.sites.site import Inquiry

EAGER_PAGES = 8  # a file is looked for in so many pages of a listing, then asked for by itself
PAGES_MAX = 200  # longer listings are left to the hub

Stop = Response | Inquiry


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as far as these questions depend on it. `now` in wall-clock seconds."""

    request: Request
    caller: Caller
    now: float
    is_api: bool

    @property
    def is_head(self) -> bool:
        return self.request.method == "HEAD"


class Asking:
    """The order of questions. `access_grace` in seconds."""

    def __init__(self, facts: Facts, questions: Questions, *, offline: bool, access_grace: float) -> None:
        self._facts = facts
        self._questions = questions
        self._offline = offline
        self._grace = access_grace

    # -- who may read --------------------------------------------------------------------------

    def access(
        self, ask: Ask, repo: Repo, need: Level, revision: str = "", file: File | None = None
    ) -> Caller | Stop:
        """As whom to ask upstream about `repo`: as nobody if it is public, else as the caller who may.
        `revision` and `file` are what is asked for, so that one answer serves both questions."""
        public = self._verdict(ask, repo, NOBODY, need, revision, file)
        if not isinstance(public, Access):
            return public
        if public.level >= need:
            return NOBODY
        if ask.caller == NOBODY:
            return self._refused(ask, public)
        own = self._verdict(ask, repo, ask.caller, need, revision, file, public)
        if not isinstance(own, Access):
            return own
        return ask.caller if own.level >= need else self._refused(ask, own)

    def _refused(self, ask: Ask, verdict: Access) -> Response:
        if verdict.refusal is None:
            return self._error(ask, 403, "", "Access to this repository is restricted.")
        return hub_answers.refused(verdict.refusal, is_api=ask.is_api, head=ask.is_head)

    def _verdict(
        self,
        ask: Ask,
        repo: Repo,
        who: Caller,
        need: Level,
        revision: str,
        file: File | None,
        public: Access | None = None,
    ) -> Access | Stop:
        fact = self._facts.access(repo, who)
        if fact is not None and ask.now < fact.until and fact.settles(need) and self._counts(fact, who, ask):
            return fact
        is_listed = fact is not None and ask.now < fact.until and fact.level is Level.LISTING
        is_listed = is_listed or (public is not None and public.level is Level.LISTING)
        failed: Failed | None = None
        for question in self._questions_of(ask, repo, who, revision, file, is_listed and need is Level.FILES):
            failed = self._facts.failure(question.id, ask.now)
            if failed is None:
                return question
        return self._remembered(fact, who, need, ask) or self._unreachable(ask, who, failed)

    def _questions_of(
        self, ask: Ask, repo: Repo, who: Caller, revision: str, file: File | None, about_files: bool
    ) -> Iterable[Inquiry]:
        """Those that can tell, the most telling first. More than one, because only some may be stored."""
        quiet = self._is_quiet(ask, who)
        if about_files:
            if self._facts.has_auth_check(ask.now):
                yield self._questions.auth_check(repo, who, quiet=quiet)
            elif file is not None:
                yield self._questions.may_read(file, who, quiet=self._is_quiet(ask, who, Kind.FILES))
            return
        first = ["", "main", revision] if hub_names.is_commit(revision) else [revision, "", "main"]
        for name in dict.fromkeys(first):
            known = self._facts.revision(repo, name) if name else None
            if known is None or known.refusal is None or known.until <= ask.now:
                yield self._questions.info(repo, name, who, quiet=quiet)

    def _counts(self, fact: Access, who: Caller, ask: Ask) -> bool:
        """Whether a verdict is young enough: public is for anybody at any age, a token's is not."""
        return who == NOBODY or fact.level is Level.NOTHING or ask.now - fact.at <= self._grace

    def _remembered(self, fact: Access | None, who: Caller, need: Level, ask: Ask) -> Access | None:
        """The verdict that holds while the hub cannot be asked."""
        if fact is None:
            return None
        if fact.level < need and not fact.is_final and fact.read_at:
            fact = replace(fact, level=Level.FILES, at=fact.read_at)
        return fact if fact.settles(need) and self._counts(fact, who, ask) else None

    # -- which commit --------------------------------------------------------------------------

    def commit(self, ask: Ask, repo: Repo, revision: str, caller: Caller) -> str | Stop:
        fact = self._facts.revision(repo, revision)
        is_known = fact is not None and ask.now < fact.until
        if not is_known and not hub_names.is_commit(revision):
            question = self._questions.info(repo, revision, caller, quiet=self._is_quiet(ask, caller))
            failed = self._facts.failure(question.id, ask.now)
            if failed is None:
                return question
            if fact is None:
                return self._unreachable(ask, caller, failed)
        if fact is not None and fact.refusal is not None and (is_known or not hub_names.is_commit(revision)):
            return hub_answers.refused(fact.refusal, is_api=ask.is_api, head=ask.is_head)
        return revision if hub_names.is_commit(revision) or fact is None else fact.commit

    def refused_revision(self, ask: Ask, repo: Repo, revision: str) -> Response | None:
        """The hub's refusal, if it said a moment ago that there is no such revision."""
        fact = self._facts.revision(repo, revision)
        if fact is None or fact.refusal is None or fact.until <= ask.now:
            return None
        return hub_answers.refused(fact.refusal, is_api=ask.is_api, head=ask.is_head)

    # -- what it holds -------------------------------------------------------------------------

    def entry(self, ask: Ask, file: File, caller: Caller) -> Entry | Stop:
        """A file of a commit (`file.revision`); 404 only if the commit is known not to hold it."""
        repo, commit = file.repo, file.revision
        listing = self._facts.listing(repo, commit)
        if listing is not None:
            found = listing.find(file.path)
            if found is not None and not found.is_folder:
                return found
            if found is not None or listing.is_complete:
                return hub_answers.no_entry(commit, is_api=ask.is_api, head=ask.is_head)
        quiet = self._is_quiet(ask, caller)
        by_itself = self._facts.is_unlisted(repo, commit)
        if by_itself or (listing is not None and listing.pages >= EAGER_PAGES):
            return self._entry_by_itself(ask, file, caller)
        question = self._questions.page(
            repo, commit, listing.following or "" if listing else "", caller, quiet=quiet
        )
        failed = self._facts.failure(question.id, ask.now)
        return question if failed is None else self._unreachable(ask, caller, failed)

    def _entry_by_itself(self, ask: Ask, file: File, caller: Caller) -> Entry | Stop:
        held = self._facts.file(file.repo, file.revision, file.path)
        if held is not None and held.entry is None:
            return hub_answers.no_entry(file.revision, is_api=ask.is_api, head=ask.is_head)
        if held is not None and held.entry is not None and not held.location:
            return held.entry
        location = held.location if held is not None else ""
        quiet = self._is_quiet(ask, caller, Kind.FILES)
        question = self._questions.head(file, location, caller, quiet=quiet)
        failed = self._facts.failure(question.id, ask.now)
        return question if failed is None else self._unreachable(ask, caller, failed, Kind.FILES)

    def listing(self, ask: Ask, repo: Repo, commit: str, caller: Caller) -> Listing | Stop | None:
        """The whole listing of a commit; None if it is too long to be held, or the hub has none."""
        listing = self._facts.listing(repo, commit)
        if listing is not None and listing.is_complete:
            return listing
        if self._facts.is_unlisted(repo, commit) or (listing is not None and listing.pages >= PAGES_MAX):
            return None
        query = (listing.following or "") if listing is not None else ""
        question = self._questions.page(repo, commit, query, caller, quiet=self._is_quiet(ask, caller))
        failed = self._facts.failure(question.id, ask.now)
        return question if failed is None else self._unreachable(ask, caller, failed)

    def stored_listing(self, ask: Ask, repo: Repo, commit: str, caller: Caller) -> Listing | Inquiry | None:
        """The whole listing of a commit as far as it is here: the hub is not asked for it."""
        listing = self._facts.listing(repo, commit)
        if listing is not None and (listing.is_complete or listing.pages >= EAGER_PAGES):
            return listing if listing.is_complete else None
        query = (listing.following or "") if listing is not None else ""
        question = self._questions.page(repo, commit, query, caller, quiet=True)
        return question if self._facts.failure(question.id, ask.now) is None else None

    def known_commit(self, repo: Repo, revision: str) -> str:
        """The commit a revision last stood for; "" if that is not known."""
        fact = self._facts.revision(repo, revision or "main")
        known = fact.commit if fact is not None else ""
        return known or (revision if hub_names.is_commit(revision) else "")

    def is_private(self, repo: Repo) -> bool:
        fact = self._facts.access(repo, NOBODY)
        return fact is not None and fact.level is Level.NOTHING

    def is_gated(self, repo: Repo) -> bool:
        fact = self._facts.access(repo, NOBODY)
        return fact is not None and fact.level is Level.LISTING

    def known_listing(self, repo: Repo, commit: str) -> Listing | None:
        """The whole listing of a commit, if it is at hand."""
        listing = self._facts.listing(repo, commit)
        return listing if listing is not None and listing.is_complete else None

    def canonical(self, repo: Repo) -> Repo:
        return self._facts.canonical(repo)

    # -- when the hub cannot be asked ----------------------------------------------------------

    def _is_quiet(self, ask: Ask, who: Caller, kind: Kind = Kind.API) -> bool:
        return self._offline or self.is_limited(ask, who, kind)

    def is_limited(self, ask: Ask, who: Caller, kind: Kind) -> bool:
        return self._facts.wait(ask.now, kind, who) > 0

    def _unreachable(self, ask: Ask, who: Caller, failed: Failed | None, kind: Kind = Kind.API) -> Response:
        """Never 401 or 404: those are believed for ever. Clients retry 504 after falling back on what they
        have themselves, and give up at once on 424."""
        if self._offline:
            return self._error(ask, OFFLINE, "", "This node is offline and does not have this.")
        if self.is_limited(ask, who, kind):
            return self.limited(ask, who, kind)
        status = failed.status if failed is not None and failed.status >= 400 else UNREACHABLE
        reason = failed.message if failed is not None else "no answer"
        return self._error(ask, status, "", f"The hub cannot be asked: {reason}")

    def limited(self, ask: Ask, who: Caller, kind: Kind) -> Response:
        """The hub's limit, shared with the client: it waits as long as the hub wants."""
        fields = self._facts.limit_fields(ask.now, kind, who)
        return hub_answers.error(
            429, "", "The hub asks to wait.", fields, is_api=ask.is_api, head=ask.is_head
        )

    def _error(self, ask: Ask, status: int, code: str, message: str) -> Response:
        return hub_answers.error(status, code, message, is_api=ask.is_api, head=ask.is_head)
