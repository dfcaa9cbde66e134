"""A hub of models, datasets and spaces: what belongs to a commit is answered here, bytes are checked.

A request is answered in four steps, each from what is known or by asking first: who may read the
repository, what it is called, which commit is meant, what the commit holds. HEADs, listings and "no
such file" then need nobody; bytes are planned with the digest they must have."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgeproxy import config
from edgeproxy.errors import RequestError
from edgeproxy.message import BytesBody, HeadOnly, Request, Response
from edgeproxy.sites import hub_answers, hub_info, hub_listings, hub_names
from edgeproxy.sites.hub_asking import Ask, Asking
from edgeproxy.sites.hub_facts import Caller, Facts, Kind, Level, kind_of
from edgeproxy.sites.hub_names import (
    AuthCheck,
    File,
    Git,
    HubQuestion,
    ImageBlob,
    ImageManifest,
    Info,
    LfsBatch,
    Named,
    Nothing,
    OwnPath,
    PathsInfo,
    Repo,
    RepoQuestion,
    Tree,
    XetToken,
)
from edgeproxy.sites.hub_plans import HubPlans
from edgeproxy.sites.hub_questions import Questions
from edgeproxy.sites.hub_request import HubRequest
from edgeproxy.sites.hub_rules import hub_rules
from edgeproxy.sites.hub_settings import Hub, hub
from edgeproxy.sites.hub_transfers import Transfers
from edgeproxy.sites.hub_tree import Entry, Listing
from edgeproxy.sites.site import ContentWanted, Inquiry, Plan, Planned, Realm, Site, SiteContext
from edgeproxy.upstream.upstream import Origin, Reach

PATHS_BYTES_MAX = 4 << 20
_READING = ("GET", "HEAD")
_WRITING = ("POST", "PUT", "PATCH", "DELETE")
# JSON of the hub that can name Xet hashes.
_TELLS_XET = ("/api/models", "/api/datasets", "/api/spaces", "/api/kernels")


def build(settings: config.Site, context: SiteContext) -> Site:
    """Raises ConfigurationError; reads the token's file."""
    return HuggingFace(settings, context, hub(settings, context))


class HuggingFace:
    """One hub. What it has told lives on the event loop."""

    def __init__(self, settings: config.Site, context: SiteContext, found: Hub) -> None:
        self.name = settings.name
        self._settings = settings
        self._context = context
        self._hub = found
        self._secret = secrets.token_bytes(32)
        self._service = self._caller(found.authorization)
        rules = hub_rules(settings, context)
        self._facts = Facts(settings.revision_ttl, settings.access_ttl)
        self._plans = HubPlans(found, rules, self.learn)
        self._asking = Asking(
            self._facts,
            Questions(found, rules, self.learn),
            offline=settings.offline or context.offline,
            access_grace=settings.access_grace,
        )
        self._transfers = Transfers(settings, self._asking, self._plans)

    # -- the two methods of a Site -------------------------------------------------------------

    def plan(self, request: Request, path: str) -> Planned:
        raw, _, query = path.partition("?")
        if not path.isascii() or not path.isprintable():
            raise RequestError(400, "the request target is not ASCII", close=False)
        place = request.target.removesuffix(path) if request.target.endswith(path) else self._settings.mount
        place = place.rstrip("/")
        base = f"{request.scheme}://{request.authority}{place}" if request.authority else place
        return self._planned(self._request(request, raw, query, base, place))

    # -- under its own name --------------------------------------------------------------------

    @property
    def realms(self) -> tuple[Realm, ...]:
        return (Realm(self._hub.origin, self._hub.prefix),)

    @property
    def origins(self) -> tuple[Origin, ...]:
        return (self._hub.origin,)

    def realm_of(self, origin: Origin, target: str, *, is_node: bool) -> Realm | None:
        """Never that of a host which keeps the bytes: a signed URL permits, and cannot be checked here."""
        return None

    def plan_named(self, request: Request, origin: Origin, target: str) -> Planned | None:
        """As for a mount at the hub's own place: who asks for the hub gets its names and its URLs. What a
        client that takes us for the hub wants beside files and API, such as web pages, is the hub's."""
        if origin != self._hub.origin or (below := self.realms[0].below(target)) is None:
            return None
        if not below.isascii() or not below.isprintable():
            raise RequestError(400, "the request target is not ASCII", close=False)
        raw, _, query = below.partition("?")
        if request.is_named and hub_names.read(raw) == hub_names.NO_REPO:
            return None
        return self._planned(self._request(request, raw, query, self._hub.url, self._hub.prefix))

    def reach_of(self, origin: Origin) -> Reach:
        return self._hub.reach

    # -- both ----------------------------------------------------------------------------------

    def _planned(self, asked: HubRequest) -> Planned:
        planned = self._answer(asked, hub_names.read(asked.raw))
        return _for_method(asked, planned) if isinstance(planned, Response) else planned

    def learn(self, learned: Any) -> None:
        self._facts.learn(learned, self._context.clock())

    def _request(self, request: Request, raw: str, query: str, base: str, place: str) -> HubRequest:
        own = self._caller(request.headers.get("Authorization"))
        caller = own if own.id else self._service
        return HubRequest(
            ask=Ask(request, caller, self._context.clock(), is_api=raw.startswith("/api/")),
            own=own,
            raw=raw,
            query=query,
            rewriting=hub_answers.Rewriting(
                self._hub.url, base, place, strips_xet=self._settings.xet != "pass"
            ),
        )

    def _caller(self, authorization: str) -> Caller:
        """Who asks, by a keyed hash: tokens enter no key, no table that is written, and no log."""
        words = authorization.split(" ", 1)
        if len(words) != 2 or not words[1].strip(" "):
            return Caller()
        given = authorization.encode("latin-1", "replace")
        return Caller(authorization, hashlib.blake2b(given, key=self._secret, digest_size=16).hexdigest())

    # -- which of them it is -------------------------------------------------------------------

    def _answer(self, asked: HubRequest, named: Named) -> Planned:
        reads = asked.method in _READING
        match named:
            case Nothing(code, message):
                return asked.error(404, code, message)
            case File() | ImageBlob() | ImageManifest() | XetToken() | Tree() | AuthCheck() if not reads:
                return asked.error(405, "", "This is only read.", (("Allow", "GET, HEAD"),))
            case File():
                return self._file(asked, named)
            case Info() if reads:
                return self._info(asked, named)
            case Tree():
                return self._tree(asked, named)
            case PathsInfo() if asked.method == "POST":
                return self._paths_info(asked, named)
            case AuthCheck(repo):
                allowed = self._asking.access(asked.ask, repo, Level.FILES)
                return hub_answers.json(b"{}") if isinstance(allowed, Caller) else allowed
            case XetToken():
                return self._transfers.xet_token(asked, named)
            case RepoQuestion() if reads:
                return self._repo_question(asked, named)
            case Git():
                return self._git(asked, named)
            case LfsBatch(repo) if asked.method == "POST":
                return self._transfers.lfs_batch(asked, repo)
            case ImageBlob():
                return self._transfers.image_blob(asked, named)
            case ImageManifest(repo):
                return self._passed(asked, on_repo=True)
            case OwnPath(place, rest):
                return self._transfers.own_path(asked, place, rest)
            case HubQuestion(path) if path.startswith("/api/telemetry/"):
                return Response(200)  # nobody's business but the client's
            case HubQuestion(path) if reads:
                return self._hub_question(asked, path)
            case _:
                return self._change(asked)

    # -- files ---------------------------------------------------------------------------------

    def _file(self, asked: HubRequest, file: File) -> Planned:
        ask = asked.ask
        caller = self._asking.access(ask, file.repo, Level.FILES, file.revision, file)
        if not isinstance(caller, Caller):
            return caller
        repo = self._facts.canonical(file.repo)
        commit = self._asking.commit(ask, repo, file.revision, caller)
        if not isinstance(commit, str):
            return commit
        pinned = File(repo, file.verb, commit, file.path)
        entry = self._asking.entry(ask, pinned, caller)
        if not isinstance(entry, Entry):
            return entry
        if file.repo != repo or file.revision != commit:
            # The commit, not the branch, is what client and node talk about from here on: it cannot
            # move between HEAD and GET.
            where = asked.rewriting.here(hub_names.file_target(pinned, commit))
            return hub_answers.redirect(where, asked.query, commit)
        is_limited = self._asking.is_limited(ask, caller, Kind.FILES)
        plan = self._transfers.file(asked, pinned, entry, caller, is_limited=is_limited)
        return self._or_limit(asked, plan, caller, Kind.FILES) if isinstance(plan, Plan) else plan

    # -- what is said about a repository -------------------------------------------------------

    def _info(self, asked: HubRequest, info: Info) -> Planned:
        ask = asked.ask
        caller = self._asking.access(ask, info.repo, Level.LISTING, info.revision)
        if not isinstance(caller, Caller):
            return caller
        refused = self._asking.refused_revision(ask, info.repo, info.revision)
        if refused is not None:
            return refused
        plan = self._metadata(asked, info.repo, caller, strips=True)
        commit = self._asking.known_commit(info.repo, info.revision)
        if not isinstance(plan, Plan) or not commit:
            return plan
        listing = self._asking.stored_listing(ask, info.repo, commit, caller)
        if isinstance(listing, Inquiry):
            return listing
        if info.revision:
            plan = replace(plan, upcoming=self._transfers.after_info(asked, info.repo, commit))
        if listing is None:
            return plan
        return self._else(asked, plan, lambda: self._listed_info(asked, info.repo, commit, listing))

    def _listed_info(self, asked: HubRequest, repo: Repo, commit: str, listing: Listing) -> Response:
        private, gated = self._asking.is_private(repo), self._asking.is_gated(repo)
        data = hub_info.info(repo, commit, listing, asked.query, private=private, gated=gated)
        return hub_answers.json(data, [("Cache-Control", "no-cache")])

    def _metadata(self, asked: HubRequest, repo: Repo, caller: Caller, *, strips: bool) -> Plan | Response:
        """JSON of the hub's own about a repository, by the name the hub has for it."""
        canonical = self._facts.canonical(repo)
        if canonical != repo:
            return self._renamed(asked, repo, canonical)
        plan = self._plans.metadata(
            asked.target,
            repo,
            caller,
            asked.rewriting,
            limited=self._asking.is_limited(asked.ask, caller, Kind.API),
            strips=strips and self._settings.xet != "pass",
        )
        return self._or_limit(asked, plan, caller, Kind.API)

    def _else(self, asked: HubRequest, plan: Plan, say: Callable[[], Response]) -> Plan:
        """`plan`, and what is said when the hub does not answer it."""
        return replace(plan, instead=lambda: _for_method(asked, say()))

    def _or_limit(self, asked: HubRequest, plan: Plan, caller: Caller, kind: Kind) -> Plan:
        """`plan`, and the hub's limit in the hub's words when that is why there is no answer."""

        def limited() -> Response | None:
            ask = replace(asked.ask, now=self._context.clock())
            if not self._asking.is_limited(ask, caller, kind):
                return None
            return _for_method(asked, self._asking.limited(ask, caller, kind))

        return replace(plan, instead=limited)

    def _renamed(self, asked: HubRequest, repo: Repo, canonical: Repo) -> Response:
        where = asked.rewriting.here(hub_names.renamed(asked.raw, repo, canonical))
        return hub_answers.redirect(where, asked.query)

    def _repo_question(self, asked: HubRequest, question: RepoQuestion) -> Planned:
        """Lists of branches and commits are kept as long as branches are; all else is asked each time."""
        need = {"refs": Level.LISTING, "commits": Level.FILES}.get(question.verb)
        if need is None:
            return self._passed(asked, on_repo=True, as_service=True)
        caller = self._asking.access(asked.ask, question.repo, need)
        if not isinstance(caller, Caller):
            return caller
        plan = self._metadata(asked, question.repo, caller, strips=False)
        commit = self._asking.known_commit(question.repo, "main")
        if question.verb != "refs" or not commit or not isinstance(plan, Plan):
            return plan
        return self._else(asked, plan, lambda: hub_answers.json(hub_info.refs(commit)))

    # -- listings ------------------------------------------------------------------------------

    def _tree(self, asked: HubRequest, tree: Tree) -> Planned:
        found = self._commit_of(asked, tree.repo, tree.revision)
        if not isinstance(found, tuple):
            return found
        commit, caller = found
        wanted = hub_listings.wanted(asked.query)
        find = self._asking.stored_listing if wanted.expand else self._asking.listing
        listing = find(asked.ask, tree.repo, commit, caller)
        if isinstance(listing, Response | Inquiry):
            return listing
        if listing is not None and not wanted.expand:
            return self._listed(asked, tree, commit, listing)
        # What only the hub can tell: the last commit of each file, or endless lists.
        plan = self._metadata(asked, tree.repo, caller, strips=True)
        if listing is None or not isinstance(plan, Plan):
            return plan
        return self._else(asked, plan, lambda: self._listed(asked, tree, commit, listing))

    def _listed(self, asked: HubRequest, tree: Tree, commit: str, listing: Listing) -> Response:
        wanted = hub_listings.wanted(asked.query)
        xet = self._transfers.xet_in_lists(asked)
        answered = hub_listings.answer(listing, tree.folder, wanted, xet)
        if answered is None:
            return hub_answers.no_entry(commit, is_api=True, head=asked.is_head)
        fields = [("X-Repo-Commit", commit), ("Cache-Control", "no-cache")]
        if answered.following:
            here = asked.rewriting.url(self._hub.url + asked.raw)
            fields.append(("Link", f'<{here}?{answered.following}>; rel="next"'))
        return hub_answers.json(answered.data, fields)

    def _commit_of(self, asked: HubRequest, repo: Repo, revision: str) -> tuple[str, Caller] | Planned:
        """The commit, and as whom to ask for its listing; or what comes first."""
        caller = self._asking.access(asked.ask, repo, Level.LISTING, revision)
        if not isinstance(caller, Caller):
            return caller
        canonical = self._facts.canonical(repo)
        if canonical != repo:
            return self._renamed(asked, repo, canonical)
        commit = self._asking.commit(asked.ask, repo, revision, caller)
        return (commit, caller) if isinstance(commit, str) else commit

    def _paths_info(self, asked: HubRequest, named: PathsInfo) -> Planned:
        found = self._commit_of(asked, named.repo, named.revision)
        if not isinstance(found, tuple):
            return found
        commit, caller = found
        if asked.request.content is None:
            return ContentWanted(PATHS_BYTES_MAX)
        wanted = hub_listings.wanted_paths(asked.request.headers, asked.request.content)
        if wanted is None:
            return asked.error(400, "", "This is no list of paths.")
        paths, expand = wanted
        find = self._asking.stored_listing if expand else self._asking.listing
        listing = find(asked.ask, named.repo, commit, caller)
        if isinstance(listing, Response | Inquiry):
            return listing
        plan = None
        if listing is None or expand:
            plan = self._passed(asked, on_repo=True, as_service=True, strips=True)
        if listing is None and plan is not None:
            return plan
        assert listing is not None
        xet = self._transfers.xet_in_lists(asked)
        fields = [("X-Repo-Commit", commit)]
        said = hub_answers.json(hub_listings.of_paths(listing, paths, xet), fields)
        return self._else(asked, plan, lambda: said) if isinstance(plan, Plan) else said

    # -- what is left to the hub ---------------------------------------------------------------

    def _hub_question(self, asked: HubRequest, path: str) -> Planned:
        if path == "/api/agent-harnesses":
            return hub_answers.json(b'{"standardEnvVars":[],"harnesses":{}}')
        strips = self._settings.xet != "pass" and path in _TELLS_XET
        return self._passed(asked, on_repo=False, strips=strips)

    def _git(self, asked: HubRequest, git: Git) -> Planned:
        pushes = git.service == "git-receive-pack" or "service=git-receive-pack" in asked.query
        if pushes or (git.service.startswith("info/lfs/") and asked.method not in _READING):
            return self._change(asked)
        return self._passed(asked, on_repo=True, as_service=True)

    def _passed(
        self, asked: HubRequest, *, on_repo: bool, as_service: bool = False, strips: bool = False
    ) -> Plan | Response:
        """Asked in the words of the caller; with the node's own token only what reads a repository."""
        caller = asked.ask.caller if as_service else asked.own
        kind = kind_of(asked.raw)
        if self._asking.is_limited(asked.ask, caller, kind):
            return self._asking.limited(asked.ask, caller, kind)
        strips = strips and self._settings.xet != "pass"
        plan = self._plans.passing(asked.target, caller, asked.rewriting, on_repo=on_repo, strips=strips)
        return self._or_limit(asked, plan, caller, kind)

    def _change(self, asked: HubRequest) -> Plan | Response:
        """What changes the hub. It is never kept, and never done with the node's own token."""
        if asked.method not in _WRITING and asked.method not in _READING:
            return asked.error(405, "", "The hub has no such method.", (("Allow", "GET, HEAD, POST, PUT"),))
        if self._settings.uploads == "refuse":
            return asked.error(403, "", "Uploads are not accepted here.")
        return self._plans.passing(asked.target, asked.own, asked.rewriting, on_repo=True)


def _for_method(asked: HubRequest, response: Response) -> Response:
    if asked.is_head and isinstance(response.body, BytesBody):
        return replace(response, body=HeadOnly(response.body.length))
    return response
