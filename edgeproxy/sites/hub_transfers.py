"""Bytes on their way to a client: plain, by Xet from plain files, as objects of git-lfs, by digest.

Whichever way a client takes, the same body is served, and who may read it is asked each time. Tokens of
our own say for whom they were made; whose words that is stands in a table in memory, nowhere else."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import replace

from edgeproxy import config
from edgeproxy.message import Pair, Response
from edgeproxy.sites import hub_answers, hub_lfs, hub_listings, hub_prefetch, hub_xorbs
from edgeproxy.sites.hub_asking import Asking, Stop
from edgeproxy.sites.hub_facts import NOBODY, Caller, Level
from edgeproxy.sites.hub_listings import Xet
from edgeproxy.sites.hub_names import File, ImageBlob, Repo, XetToken
from edgeproxy.sites.hub_plans import HubPlans
from edgeproxy.sites.hub_prefetch import Asked, PrefetchSettings
from edgeproxy.sites.hub_request import HubRequest
from edgeproxy.sites.hub_signing import Grant, Purpose, grant_of, sign
from edgeproxy.sites.hub_tree import Entry, Listing
from edgeproxy.sites.site import ContentWanted, Inquiry, Plan, Planned, Upcoming

TOKEN_SECONDS = 3600
CALLERS_MAX = 10_000
BEARER = "bearer "


class Transfers:
    """The ways in which files leave this site."""

    def __init__(self, settings: config.Site, asking: Asking, plans: HubPlans) -> None:
        self._xet = settings.xet
        self._xet_above = settings.xet_above
        self._refuses_uploads = settings.uploads == "refuse"
        self._asking = asking
        self._plans = plans
        self._key = secrets.token_bytes(32)
        self._callers: OrderedDict[str, Caller] = OrderedDict()
        self._prefetch = PrefetchSettings()

    # -- plain files ---------------------------------------------------------------------------

    def file(
        self, asked: HubRequest, file: File, entry: Entry, caller: Caller, *, is_limited: bool
    ) -> Plan | Response:
        """`file` is of a commit, `entry` is it."""
        fields = self._xet_fields(asked, file, entry)
        if asked.is_head:
            is_raw = file.verb == "raw" and bool(entry.sha256)
            size = entry.pointer_size if is_raw else entry.size
            etag = entry.oid.hex() if is_raw else entry.etag
            known = hub_answers.file_fields(entry, file.revision, etag=etag, size=size)
            return hub_answers.file_head(
                asked.request.headers, known.adding(fields), size if size >= 0 else None
            )
        download = hub_listings.is_true(hub_listings.parameters(asked.query).get("download", "false"))
        plan = self._plans.file(file, entry, caller, asked.rewriting, quiet=is_limited, is_download=download)
        return replace(plan, upcoming=self._after_file(asked, file))

    # -- what will be asked next ---------------------------------------------------------------

    def after_info(self, asked: HubRequest, repo: Repo, commit: str) -> Upcoming | None:
        return hub_prefetch.upcoming(self._as_guess(asked, Asked.INFO, repo, commit), {}, self._prefetch)

    def _after_file(self, asked: HubRequest, file: File) -> Upcoming | None:
        listing = self._asking.known_listing(file.repo, file.revision)
        if listing is None:
            return None
        guess = self._as_guess(asked, Asked.FILE, file.repo, file.revision, file.path)
        return hub_prefetch.upcoming(guess, listing.sizes, self._prefetch)

    @staticmethod
    def _as_guess(
        asked: HubRequest, what: Asked, repo: Repo, commit: str, path: str = ""
    ) -> hub_prefetch.Ask:
        headers = asked.request.headers
        return hub_prefetch.Ask(
            what,
            repo.kind,
            repo.id,
            commit,
            path,
            asked.method,
            headers.get("User-Agent"),
            headers.get("Range"),
        )

    # -- Xet -----------------------------------------------------------------------------------

    def _xet_hash(self, entry: Entry) -> str:
        """The Xet hash a client is told, "" if it is to ask for the plain file. Any name will do where
        this node serves; so a file without one is named by its SHA-256."""
        if not entry.sha256 or entry.size <= 0:
            return ""
        serves = self._xet == "serve" or (self._xet == "strip" and entry.size > self._xet_above)
        return (entry.xet or entry.sha256).hex() if serves else entry.xet.hex() if self._xet == "pass" else ""

    def xet_in_lists(self, asked: HubRequest) -> Xet:
        return self._xet_hash

    def _xet_fields(self, asked: HubRequest, file: File, entry: Entry) -> list[Pair]:
        named = self._xet_hash(entry) if file.verb == "resolve" else ""
        if not named:
            return []
        url = f"{asked.rewriting.base}{file.repo.api}/xet-read-token/{file.revision}"
        return [("X-Xet-Hash", named), ("Link", f'<{url}>; rel="xet-auth"')]

    def xet_token(self, asked: HubRequest, named: XetToken) -> Planned:
        """Permission to ask for the files of a revision by Xet. Also where Xet is hidden: clients remember
        for ever that a file has it."""
        if self._xet == "pass":
            return self._plans.passing(asked.target, asked.ask.caller, asked.rewriting, on_repo=True)
        caller = self._asking.access(asked.ask, named.repo, Level.FILES, named.revision)
        if not isinstance(caller, Caller):
            return caller
        repo = self._asking.canonical(named.repo)
        commit = self._asking.commit(asked.ask, repo, named.revision, caller)
        if not isinstance(commit, str):
            return commit
        expires = int(asked.ask.now) + TOKEN_SECONDS
        grant = Grant(Purpose.XET, repo.api, self._remembered(asked), expires, subject=commit)
        return hub_xorbs.token_answer(f"{asked.rewriting.base}/_cas", sign(self._key, grant), expires)

    def own_path(self, asked: HubRequest, place: str, rest: str) -> Planned:
        if place == "_lfs":
            return self._lfs_object(asked, rest)
        route = hub_xorbs.route(f"/{rest}")
        match route:
            case hub_xorbs.TelemetryRoute():
                return hub_xorbs.telemetry_answer()
            case hub_xorbs.ReconstructionRoute():
                return self._reconstruction(asked, route)
            case hub_xorbs.XorbRoute():
                return self._xorb(asked, route)
            case None:
                return asked.error(404, "", "There is nothing here.")

    def _reconstruction(self, asked: HubRequest, route: hub_xorbs.ReconstructionRoute) -> Planned:
        given = asked.request.headers.get("Authorization")
        token = given[len(BEARER) :] if given.lower().startswith(BEARER) else ""
        grant = grant_of(self._key, token, Purpose.XET, asked.ask.now)
        if grant is None:
            return asked.error(401, "", "The Xet token is not valid here, or no longer.")
        asked, repo = self._as_granted(asked, grant)
        listed = self._granted_listing(asked, repo, grant.subject)
        if not isinstance(listed, tuple):
            return listed
        listing, _ = listed
        wanted = bytes.fromhex(route.file_id)
        entry = next((one for one in listing.files() if wanted in (one.xet, one.sha256)), None)
        if entry is None:
            return asked.error(404, "", "No file of this commit has this hash.")
        fields = (Purpose.XORB, grant.repository, grant.caller, grant.expires)
        subject = f"{grant.subject}/{entry.path}"
        name = sign(self._key, Grant(*fields, entry.sha256.hex(), entry.size, subject))
        base = f"{asked.rewriting.base}/_cas"
        return hub_xorbs.reconstruction(
            route,
            entry.size,
            asked.request.headers.get("Range"),
            lambda index: base + hub_xorbs.xorb_path(name, index),
        )

    def _xorb(self, asked: HubRequest, route: hub_xorbs.XorbRoute) -> Planned:
        grant = grant_of(self._key, route.token, Purpose.XORB, asked.ask.now)
        layout = hub_xorbs.xorb(grant.size, route.index) if grant is not None else None
        if grant is None or layout is None:
            return asked.error(403, "", "This URL is not valid here, or no longer.")
        asked, repo = self._as_granted(asked, grant)
        commit, _, path = grant.subject.partition("/")
        file = File(repo, "resolve", commit, path)
        caller = self._asking.access(asked.ask, repo, Level.FILES, commit, file)
        if not isinstance(caller, Caller):
            return caller
        entry = Entry(path, False, b"", grant.size, bytes.fromhex(grant.digest))
        plan = self._plans.file(file, entry, caller, asked.rewriting)
        return replace(plan, layout=layout, finish_without_readers=True)

    # -- git-lfs -------------------------------------------------------------------------------

    def lfs_batch(self, asked: HubRequest, repo: Repo) -> Planned:
        """Where objects are: here, for those the hub lists or has a URL for."""
        if asked.request.content is None:
            return ContentWanted(hub_lfs.BATCH_BYTES_MAX)
        batch = hub_lfs.parse_batch(asked.request.content)
        if isinstance(batch, Response):
            return batch
        if batch.operation is hub_lfs.Operation.UPLOAD:
            if self._refuses_uploads:
                return asked.error(403, "", "Uploads are not accepted here.")
            return self._plans.passing(asked.target, asked.own, asked.rewriting, on_repo=True)
        listed = self._granted_listing(asked, repo, "main")
        known: dict[str, int] = {}
        if isinstance(listed, Inquiry):
            return listed
        if isinstance(listed, tuple):  # else the hub is asked, and says itself why not
            known = {entry.sha256.hex(): entry.size for entry in listed[0].files() if entry.sha256}
        expires = int(asked.ask.now) + TOKEN_SECONDS
        hrefs = hub_lfs.Hrefs(asked.rewriting.base, self._key, repo.api, self._remembered(asked), expires)
        if not batch.unknown(known):
            return hub_lfs.answer(batch, known, hrefs, TOKEN_SECONDS)
        plan = self._plans.passing(asked.target, asked.ask.caller, asked.rewriting, on_repo=True)
        return replace(plan, transform=hub_lfs.RewrittenBatch(batch, known, hrefs, TOKEN_SECONDS))

    def _lfs_object(self, asked: HubRequest, token: str) -> Planned:
        grant = hub_lfs.granted(self._key, token, asked.ask.now)
        if grant is None or asked.method not in ("GET", "HEAD"):
            return asked.error(403, "", "This URL is not valid here, or no longer.")
        asked, repo = self._as_granted(asked, grant)
        caller = self._asking.access(asked.ask, repo, Level.FILES)
        if not isinstance(caller, Caller):
            return caller
        if grant.subject:
            return self._plans.by_url(repo, grant.subject, grant.digest, grant.size, caller, asked.rewriting)
        listed = self._granted_listing(asked, repo, "main")
        if not isinstance(listed, tuple):
            return listed
        listing, commit = listed
        wanted = bytes.fromhex(grant.digest)
        entry = next((one for one in listing.files() if one.sha256 == wanted), None)
        if entry is None:
            return asked.error(404, "EntryNotFound", "Entry not found")
        file = File(repo, "resolve", commit, entry.path)
        return self._plans.file(file, entry, caller, asked.rewriting)

    # -- by digest -----------------------------------------------------------------------------

    def image_blob(self, asked: HubRequest, blob: ImageBlob) -> Planned:
        """A file as clients of the OCI protocol ask for it: to know the digest is no permission."""
        caller = self._asking.access(asked.ask, blob.repo, Level.FILES)
        if not isinstance(caller, Caller):
            return caller
        return self._plans.by_digest(blob.repo, asked.target, blob.sha256, None, caller, asked.rewriting)

    # -- grants --------------------------------------------------------------------------------

    def _remembered(self, asked: HubRequest) -> str:
        """The caller's id, under which its words are found again while a grant lives."""
        caller = asked.ask.caller
        if caller != NOBODY:
            self._callers[caller.id] = caller
            self._callers.move_to_end(caller.id)
            while len(self._callers) > CALLERS_MAX:
                self._callers.popitem(last=False)
        return caller.id

    def _as_granted(self, asked: HubRequest, grant: Grant) -> tuple[HubRequest, Repo]:
        """The request as the one to whom a grant was made; as nobody if that has been forgotten."""
        caller = self._callers.get(grant.caller, NOBODY)
        _, _, kind, id_ = grant.repository.split("/", 3)
        return replace(asked, own=caller, ask=replace(asked.ask, caller=caller)), Repo(kind, id_)

    def _granted_listing(self, asked: HubRequest, repo: Repo, revision: str) -> tuple[Listing, str] | Stop:
        """The listing of a revision whose files the caller may read, and its commit."""
        caller = self._asking.access(asked.ask, repo, Level.FILES, revision)
        if not isinstance(caller, Caller):
            return caller
        commit = self._asking.commit(asked.ask, repo, revision, caller)
        if not isinstance(commit, str):
            return commit
        listing = self._asking.listing(asked.ask, repo, commit, caller)
        if listing is None:
            return asked.error(404, "", "The listing of this repository is too long for this.")
        return (listing, commit) if isinstance(listing, Listing) else listing
