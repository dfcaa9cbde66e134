"""A Python package index: pages that are rewritten, files that are checked, and nothing else.

Every request is one of few kinds (page, file, sidecar, old JSON, attestation, list of projects); what
is none of them is answered here, so that the index is asked only for what can exist."""

from __future__ import annotations

from typing import Any

from edgeproxy import config
from edgeproxy.errors import RequestError
from edgeproxy.message import Request, Response
from edgeproxy.sites import python_names
from edgeproxy.sites.python_answers import own_page_fields, page_fields, redirect, text, too_many_names
from edgeproxy.sites.python_ask_rate import AskRate
from edgeproxy.sites.python_facts import Facts, PageFacts, Removed
from edgeproxy.sites.python_files import Files
from edgeproxy.sites.python_legacy import LegacyView, OwnLegacyView
from edgeproxy.sites.python_link_hosts import LinkHosts
from edgeproxy.sites.python_links import LinkRules, origin_of_id
from edgeproxy.sites.python_negotiation import ASKED, PageType, accepts_gzip, page_type, page_types
from edgeproxy.sites.python_page_files import PagePolicy
from edgeproxy.sites.python_pages import PageView
from edgeproxy.sites.python_plans import IndexPlans
from edgeproxy.sites.python_rules import IndexRules, index_rules
from edgeproxy.sites.python_settings import believes_missing
from edgeproxy.sites.site import Plan, Realm, SiteContext, View
from edgeproxy.upstream.upstream import Origin, Reach

AGE_STEP_SECONDS = 3600.0  # views of pages filtered by age are made anew this often
ALL_FORMS = (PageType.JSON, PageType.HTML, PageType.TEXT)
_PROVENANCE = "application/vnd.pypi.integrity.v1+json"


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
        self._hosts = LinkHosts(links, context.ledger(f"{settings.name} hosts"), self.index_url)
        self._ask_rate = AskRate(settings.names_per_client)
        self._files = Files(
            settings=settings,
            clock=context.clock,
            links=links,
            rules=self._rules,
            plans=self._plans,
            facts=self._facts,
            hosts=self._hosts,
            blocked=self._blocked,
            page=self._page_of_file,
            refused=self._too_many,
            source=self.index_url,
            listed_only=listed_only,
        )

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
                return self._files.request(request, origin_of_id(identity), "/" + "/".join(rest))
            case ["pypi", name, "json"] | ["pypi", name, "json", ""]:
                return self._legacy(request, name, "", self._legacy_view(request, path))
            case ["pypi", name, version, "json"] | ["pypi", name, version, "json", ""]:
                return self._legacy(request, name, version, self._legacy_view(request, path))
            case ["integrity", name, version, file, "provenance"]:
                return self._provenance(request, name, version, file)
            case _:
                return text(404, "an index has nothing here")

    # -- under its own name --------------------------------------------------------------------

    @property
    def realms(self) -> tuple[Realm, ...]:
        return (Realm(self._origin), *(Realm(origin) for origin in self._links.configured))

    @property
    def origins(self) -> tuple[Origin, ...]:
        return tuple(dict.fromkeys((*(realm.origin for realm in self.realms), *self._hosts.all)))

    def realm_of(self, origin: Origin, target: str, *, is_node: bool) -> Realm | None:
        return self._files.realm_of(origin, target, is_node=is_node)

    def reach_of(self, origin: Origin) -> Reach:
        return self._plans.reach_of(origin)

    def plan_named(self, request: Request, origin: Origin, target: str) -> Plan | Response | None:
        path, _, query = target.partition("?")
        planned: Plan | Response | None = None
        if not path.isascii() or "\0" in path:
            raise RequestError(400, "the request target is not ASCII", close=False)
        if origin == self._origin:
            planned = self._plan_named_page(request, path, query)
        if planned is None:
            planned = self._files.named(request, origin, path)
        if planned is not None and request.method not in ("GET", "HEAD"):
            return text(405, "an index is only read here", {"Allow": "GET, HEAD"})
        return planned

    def has_named_page(self, origin: Origin, path: str) -> bool:
        """Whether a raw path is one of this index beside its files: for a site of several indexes."""
        beside = self._beside_simple() or self._path
        return origin == self._origin and path.startswith(
            (self._path, f"{beside}pypi/", f"{beside}integrity/")
        )

    def _plan_named_page(self, request: Request, path: str, query: str) -> Plan | Response | None:
        """What the index has beside files; None for what is nothing of that."""
        below, beside = self._path, self._beside_simple()
        if path.startswith(below):
            match path[len(below) :].split("/"):
                case [""]:
                    return self._root_list(request, query, own=True)
                case [name]:
                    return self._page_redirect(name, "", query)
                case [name, ""]:
                    return self._project_page(request, name, query, own=True)
        elif beside is not None and path.startswith(beside):
            view = OwnLegacyView(accepts_gzip(request.headers))
            match path[len(beside) :].split("/"):
                case ["pypi", name, "json"] | ["pypi", name, "json", ""]:
                    return self._legacy(request, name, "", view, own=True)
                case ["pypi", name, version, "json"] | ["pypi", name, version, "json", ""]:
                    return self._legacy(request, name, version, view, own=True)
                case ["integrity", name, version, file, "provenance"]:
                    return self._provenance(request, name, version, file)
        return None

    def learn(self, learned: Any) -> None:
        self._facts.learn(learned)
        if isinstance(learned, PageFacts):
            self._hosts.learn(learned.hosts)

    # -- for a site of several indexes ---------------------------------------------------------

    def knows(self, project: str) -> bool:
        """Whether a page of the project has been seen."""
        return self._facts.page(project) is not None

    def lists(self, origin: Origin, canonical: str) -> str | None:
        """The project a file belongs to, if a page that was seen lists it."""
        found = self._facts.find(origin, canonical)
        return found[0] if found else None

    # -- pages ---------------------------------------------------------------------------------

    def _project_page(self, request: Request, raw: str, query: str, *, own: bool = False) -> Plan | Response:
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
        forms = page_types(request.headers.get("Accept"), query)
        return self._page(request, name, forms, accepts_gzip(request.headers), own=own)

    def _page_of_file(self, request: Request, project: str, *, own: bool) -> Plan:
        return self._page(request, project, ALL_FORMS, True, own=own)

    def _too_many(self, request: Request, name: str) -> Response | None:
        """Only names of which nothing is known count: what was seen costs the index little. A node that
        has proven to be one counts its own clients."""
        if request.node or self._facts.page(name) is not None:
            return None
        wait = self._ask_rate.wait(request.client, self._context.clock())
        return too_many_names(wait) if wait > 0 else None

    def _page_redirect(self, raw: str, up: str, query: str) -> Response:
        name = python_names.project(raw)
        if name is None:
            return text(404, "no project can have this name")
        return redirect(f"{up}{name}/", query)

    def _page(
        self, request: Request, name: str, forms: tuple[PageType, ...], gzip: bool, *, own: bool
    ) -> Plan:
        facts = self._facts
        unmarked = facts.without_sidecar(name)
        return self._plans.of_index(
            request,
            f"{self._path}{name}/",
            self._rules.page,
            fields={"Accept": ASKED, "Accept-Encoding": "gzip"},
            view=PageView(
                name,
                forms[0],
                gzip,
                self._policy(),
                unmarked,
                facts.serial(name),
                self.index_url,
                own_forms=forms if own else (),
                note=self._hosts.note,
            ),
            present=own_page_fields if own else page_fields,
            missing=Removed(name, self.index_url) if believes_missing(self._settings) else None,
            tags=(f"project:{name}",),
            name=name,
        )

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

    def _root_list(self, request: Request, query: str, *, own: bool = False) -> Plan | Response:
        if not self._settings.root_list:
            return text(404, "the list of all projects is not served here")
        kind = page_type(request.headers.get("Accept"), query)
        return self._plans.of_index(
            request,
            self._path,
            self._rules.root_list,
            fields={"Accept": kind.value, "Accept-Encoding": "identity"},
            variant=f" as {kind.name}",
            present=own_page_fields if own else page_fields,
        )

    # -- other resources of the index ----------------------------------------------------------

    def _legacy_view(self, request: Request, path: str) -> LegacyView:
        mount = request.target.removesuffix(path) if request.target.endswith(path) else self._settings.mount
        root = f"{request.scheme}://{request.authority}{mount.rstrip('/')}" if request.authority else mount
        return LegacyView(root, self._links)

    def _legacy(
        self, request: Request, raw: str, version: str, view: View, *, own: bool = False
    ) -> Plan | Response:
        name, below = python_names.project(raw), self._beside_simple()
        if name is None or below is None or (version and not _is_version(version)):
            return text(404, "no project can have this name")
        if python_names.matches(name, self._blocked):
            return text(403, "this project is blocked here")
        refused = self._too_many(request, name)
        if refused is not None:
            return refused
        rest = f"{version}/json" if version else "json"
        return self._plans.of_index(
            request,
            f"{below}pypi/{name}/{rest}",
            self._rules.legacy,
            fields={"Accept": "application/json", "Accept-Encoding": "gzip"},
            view=view,
            present=own_page_fields if own else page_fields,
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
