"""A Python package index: pages that are rewritten, files that are checked, and nothing else.

Every request is one of few kinds (page, file, sidecar, old JSON, attestation, list of projects); what
is none of them is answered here, so that the index is asked only for what can exist."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edgeproxy import config
from edgeproxy.errors import RequestError
from edgeproxy.message import Request, Response
from edgeproxy.sites import python_names
from edgeproxy.sites.python_answers import file_fields, page_fields, redirect, text, too_many_names
from edgeproxy.sites.python_ask_rate import AskRate
from edgeproxy.sites.python_facts import Facts, FileFacts, NoSidecar, Removed, file_key
from edgeproxy.sites.python_legacy import LegacyView
from edgeproxy.sites.python_links import LinkRules, origin_of_id
from edgeproxy.sites.python_negotiation import ASKED, PageType, accepts_gzip, page_type
from edgeproxy.sites.python_pages import PagePolicy, PageView
from edgeproxy.sites.python_plans import IndexPlans
from edgeproxy.sites.python_rules import IndexRules, index_rules
from edgeproxy.sites.python_sidecars import SidecarView
from edgeproxy.sites.site import Expected, Plan, SiteContext
from edgeproxy.upstream.upstream import Origin

WHEEL_BYTES_MAX = 64 << 20  # the pipeline shows no larger body to a view
AGE_STEP_SECONDS = 3600.0  # views of pages filtered by age are made anew this often
_PROVENANCE = "application/vnd.pypi.integrity.v1+json"


@dataclass(frozen=True, slots=True)
class _File:
    """A file as a request names it."""

    origin: Origin
    path: str
    canonical: str

    @property
    def name(self) -> str:
        return python_names.file_name(self.canonical)


class PythonIndex:
    """One index and the hosts its pages link to. What it has learned lives on the event loop. With
    `listed_only` no file is fetched that no page lists, not even from a host of the configuration."""

    def __init__(
        self,
        *,
        settings: config.Site,
        context: SiteContext,
        origin: Origin,
        path: str,
        links: LinkRules,
        authorization: str | None,
        ca_file: str,
        listed_only: bool = False,
    ) -> None:
        self.name = settings.name
        self._listed_only = listed_only
        self._settings = settings
        self._context = context
        self._origin = origin
        self._path = path
        self._links = links
        self._rules: IndexRules = index_rules(settings, context)
        self._blocked = tuple(python_names.pattern(text) for text in settings.blocked)
        self._plans = IndexPlans(
            settings=settings,
            reach=context.reach,
            origin=origin,
            links=links,
            authorization=authorization,
            ca_file=ca_file,
        )
        self._facts = Facts()
        self._ask_rate = AskRate(settings.names_per_client)

    @property
    def index_url(self) -> str:
        """The index without userinfo, for people."""
        return f"{self._origin.url}{self._path}"

    # -- the two methods of a Site -------------------------------------------------------------

    def plan(self, request: Request, path: str) -> Plan | Response:
        if request.method not in ("GET", "HEAD"):
            return text(405, "an index is only read here", {"Allow": "GET, HEAD"})
        raw, _, query = path.partition("?")
        raw = raw.partition("#")[0]
        if not raw.isascii() or "\0" in raw:
            raise RequestError(400, "the request target is not ASCII", close=False)
        match raw.split("/")[1:]:
            case ["simple"]:
                return redirect("simple/", query)
            case ["simple", ""]:
                return self._root_list(request, query)
            case ["simple", name]:
                return self._page_redirect(name, "", query)
            case ["simple", name, ""]:
                return self._project_page(request, name, query)
            case ["f", identity, *rest] if rest:
                return self._file_request(request, identity, "/" + "/".join(rest))
            case ["pypi", name, "json"] | ["pypi", name, "json", ""]:
                return self._legacy(request, path, name, "")
            case ["pypi", name, version, "json"] | ["pypi", name, version, "json", ""]:
                return self._legacy(request, path, name, version)
            case ["integrity", name, version, file, "provenance"]:
                return self._provenance(request, name, version, file)
            case _:
                return text(404, "an index has nothing here")

    def learn(self, learned: Any) -> None:
        self._facts.learn(learned)

    # -- for a site of several indexes ---------------------------------------------------------

    def knows(self, project: str) -> bool:
        """Whether a page of the project has been seen."""
        return self._facts.page(project) is not None

    def lists(self, origin: Origin, canonical: str) -> str | None:
        """The project a file belongs to, if a page that was seen lists it."""
        found = self._facts.find(origin, canonical)
        return found[0] if found else None

    # -- pages ---------------------------------------------------------------------------------

    def _project_page(self, request: Request, raw: str, query: str) -> Plan | Response:
        name = python_names.project(raw)
        if name is None:
            return text(404, "no project can have this name")
        if name != raw:
            return self._page_redirect(raw, "../", query)
        if python_names.matches(name, self._blocked):
            return text(403, "this project is blocked here")
        refused = self._too_many(request, name)
        if refused is not None:
            return refused
        kind = page_type(request.headers.get("Accept"), query)
        return self._page(request, name, kind, accepts_gzip(request.headers))

    def _too_many(self, request: Request, name: str) -> Response | None:
        """Only names of which nothing is known count: what was seen costs the index little."""
        if self._facts.page(name) is not None:
            return None
        wait = self._ask_rate.wait(request.client, self._context.clock())
        return too_many_names(wait) if wait > 0 else None

    def _page_redirect(self, raw: str, up: str, query: str) -> Response:
        name = python_names.project(raw)
        if name is None:
            return text(404, "no project can have this name")
        return redirect(f"{up}{name}/", query)

    def _page(self, request: Request, name: str, kind: PageType, gzip: bool) -> Plan:
        facts = self._facts
        unmarked = facts.without_sidecar(name)
        return self._plans.of_index(
            request,
            f"{self._path}{name}/",
            self._rules.page,
            fields={"Accept": ASKED, "Accept-Encoding": "gzip"},
            view=PageView(name, kind, gzip, self._policy(), unmarked, facts.serial(name), self.index_url),
            present=page_fields,
            missing=Removed(name, self.index_url) if self._believes_missing else None,
            tags=(f"project:{name}",),
            name=name,
        )

    @property
    def _believes_missing(self) -> bool:
        """With `pass`, a 404 may mean "not for you", and says nothing about other clients."""
        return not self._settings.keep_deleted and self._settings.credentials != "pass"

    def _policy(self) -> PagePolicy:
        settings = self._settings
        before = None
        if settings.min_release_age > 0:
            # Rounded down: a file shows up to a step late, never early.
            now = self._context.clock()
            before = now - now % AGE_STEP_SECONDS - settings.min_release_age
        filters = self._rules.page.offline and settings.offline_filter
        return PagePolicy(
            links=self._links,
            drop_foreign=settings.foreign == "drop",
            serial_guard=settings.serial_guard == "auto",
            require_hash=settings.require_hash,
            uploaded_before=before,
            stored_only=self._context.stored_keys if filters else None,
        )

    def _root_list(self, request: Request, query: str) -> Plan | Response:
        if not self._settings.root_list:
            return text(404, "the list of all projects is not served here")
        kind = page_type(request.headers.get("Accept"), query)
        return self._plans.of_index(
            request,
            self._path,
            self._rules.root_list,
            fields={"Accept": kind.value, "Accept-Encoding": "identity"},
            variant=f" as {kind.name}",
            present=page_fields,
        )

    # -- files ---------------------------------------------------------------------------------

    def _file_request(self, request: Request, identity: str, path: str) -> Plan | Response:
        origin = origin_of_id(identity)
        sidecar = path.endswith(".metadata")
        path = path.removesuffix(".metadata")
        canonical = python_names.canonical_path(path)
        if origin is None or canonical is None:
            return text(404, "no file can have this name")
        file = _File(origin, path, canonical)
        found = self._facts.find(origin, canonical)
        project = found[0] if found else python_names.project_of_file(file.name)
        if project is not None and python_names.matches(project, self._blocked):
            return text(403, "this project is blocked here")
        if project is not None and self._facts.is_removed(project):
            return self._of_removed(request, file, project)
        if found is None:
            return self._unlisted(request, file, project, sidecar)
        if self._is_young(found[1]):
            return text(403, "this file is younger than this node allows")
        if self._settings.require_hash and not found[1].sha256:
            return text(403, "this file has no hash, and this node asks for one")
        if sidecar:
            return self._sidecar(request, file, found[0], found[1])
        return self._file(request, file, found[0], found[1])

    def _is_young(self, facts: FileFacts) -> bool:
        age = self._settings.min_release_age
        return age > 0 and (facts.uploaded is None or facts.uploaded > self._context.clock() - age)

    def _file(self, request: Request, file: _File, project: str, facts: FileFacts) -> Plan:
        known = bool(facts.sha256)
        return self._plans.of_file(
            request,
            file.origin,
            facts.path or file.canonical,
            self._rules.file if known else self._rules.unhashed,
            expected=Expected(facts.sha256.hex(), facts.size),
            present=file_fields(immutable=known),
            tags=(f"project:{project}",),
            name=file.name,
            prefetch_bytes_max=self._settings.prefetch,
            finish_without_readers=True,
        )

    def _sidecar(self, request: Request, file: _File, project: str, facts: FileFacts) -> Plan:
        wheel = self._file(request, file, project, facts)
        identity = file_key(file.origin, file.canonical)
        advertised = facts.sidecar is not None and identity not in self._facts.without_sidecar(project)
        digest = (facts.sidecar or b"").hex()
        view = SidecarView(project, identity, digest, self.index_url)
        instead = replace(wheel, view=view, present=file_fields(immutable=True), prefetch_bytes_max=0)
        is_openable = file.name.endswith(".whl") and (facts.size or 0) <= WHEEL_BYTES_MAX
        rules = self._rules.sidecar if advertised else self._rules.unadvertised
        if advertised and not is_openable:  # a 404 of what a page promised ends an install, a 503 does not
            rules = replace(rules, error_statuses=rules.error_statuses | {404, 410})
        return self._plans.of_file(
            request,
            file.origin,
            f"{facts.path or file.canonical}.metadata",
            rules,
            expected=Expected(digest if advertised else ""),
            present=file_fields(immutable=bool(digest)),
            otherwise=instead if advertised and is_openable else None,
            missing=NoSidecar(project, identity, self.index_url) if advertised and not is_openable else None,
            tags=(f"project:{project}",),
            name=f"{file.name}.metadata",
            finish_without_readers=True,
        )

    def _of_removed(self, request: Request, file: _File, project: str) -> Plan:
        """A file whose project upstream has removed: nothing stored answers for it (no key is like this
        one) until the page, asked first, is back and the site plans again."""
        rules = replace(self._rules.unhashed, offline=True, unavailable_status=404, retry_after=None)
        plan = self._plans.of_file(
            request,
            file.origin,
            file.path,
            rules,
            tags=(f"project:{project}",),
            name=file.name,
            prerequisite=self._page(request, project, PageType.JSON, True),
        )
        return replace(plan, key_suffix=f"{plan.key_suffix} removed")

    def _unlisted(self, request: Request, file: _File, project: str | None, sidecar: bool) -> Plan | Response:
        """A file no page we remember lists. Its project's page is asked first; without facts it is
        fetched only from a host of the configuration, and never where its age must be known."""
        if project is None and not self._links.is_known(file.origin):
            return text(404, "no page of this index lists this file")
        refused = None if project is None else self._too_many(request, project)
        if refused is not None:
            return refused
        page = None if project is None else self._page(request, project, PageType.JSON, True)
        target = f"{file.path}.metadata" if sidecar else file.path
        is_small = sidecar or file.name.endswith(".asc")
        may_ask = self._links.is_known(file.origin) and self._settings.min_release_age == 0
        may_ask = may_ask and not self._settings.require_hash and not self._listed_only
        plan = self._plans.of_file(
            request,
            file.origin,
            target,
            self._rules.unadvertised if is_small else self._rules.unhashed,
            present=file_fields(immutable=False),
            tags=(f"project:{project}",) if project else (),
            name=file.name,
            prefetch_bytes_max=self._settings.prefetch,
            prerequisite=page,
            # A stored file of a project that has been removed is not served, after a restart either.
            prerequisite_always=self._believes_missing
            and project is not None
            and self._facts.page(project) is None
            and python_names.is_exact(file.name),
        )
        if may_ask:
            return plan
        listed = project is not None and self._facts.page(project) is not None
        known_host = self._links.is_known(file.origin) or self._facts.knows_host(file.origin)
        status = 503 if known_host and not listed else 404
        # "Offline" keeps the pipeline from asking for this file; what is stored is still served, but
        # only for a host a page has linked to: other sites' stored responses are not this one's.
        rules = replace(plan.rules, offline=True, unavailable_status=status)
        return replace(
            plan,
            rules=rules,
            key_suffix=plan.key_suffix if known_host else f"{plan.key_suffix} unknown",
        )

    # -- other resources of the index ----------------------------------------------------------

    def _legacy(self, request: Request, path: str, raw: str, version: str) -> Plan | Response:
        name, below = python_names.project(raw), self._beside_simple()
        if name is None or below is None or (version and not _is_version(version)):
            return text(404, "no project can have this name")
        if python_names.matches(name, self._blocked):
            return text(403, "this project is blocked here")
        refused = self._too_many(request, name)
        if refused is not None:
            return refused
        mount = request.target.removesuffix(path) if request.target.endswith(path) else self._settings.mount
        root = f"{request.scheme}://{request.authority}{mount.rstrip('/')}" if request.authority else mount
        rest = f"{version}/json" if version else "json"
        return self._plans.of_index(
            request,
            f"{below}pypi/{name}/{rest}",
            self._rules.legacy,
            fields={"Accept": "application/json", "Accept-Encoding": "gzip"},
            view=LegacyView(root, self._links),
            present=page_fields,
            tags=(f"project:{name}",),
            name=name,
        )

    def _provenance(self, request: Request, raw: str, version: str, file: str) -> Plan | Response:
        name, below = python_names.project(raw), self._beside_simple()
        if name is None or below is None or not _is_version(version):
            return text(404, "no project can have this name")
        if python_names.canonical_path(f"/{file}") is None:
            return text(404, "no file can have this name")
        return self._plans.of_index(
            request,
            f"{below}integrity/{name}/{version}/{file}/provenance",
            self._rules.provenance,
            fields={"Accept": _PROVENANCE, "Accept-Encoding": "identity"},
            tags=(f"project:{name}",),
            name=name,
        )

    def _beside_simple(self) -> str | None:
        """Path of the folder that holds simple/; None if the index does not end so."""
        return self._path.removesuffix("simple/") if self._path.endswith("/simple/") else None


def _is_version(text: str) -> bool:
    return python_names.canonical_path(f"/{text}") is not None
