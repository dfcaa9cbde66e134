"""Files of an index and their sidecars: what a request for one is answered with.

`own` asks under the name of the host that has the file: it gets upstream's fields. The same bytes lie
under the same key whichever way they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from edgeproxy import config
from edgeproxy.message import Clock, Request, Response
from edgeproxy.sites import python_names
from edgeproxy.sites.python_answers import file_fields, text
from edgeproxy.sites.python_facts import Facts, FileFacts, NoSidecar, file_key
from edgeproxy.sites.python_link_hosts import LinkHosts
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.sites.python_plans import IndexPlans
from edgeproxy.sites.python_rules import IndexRules
from edgeproxy.sites.python_settings import believes_missing
from edgeproxy.sites.python_sidecars import SidecarView
from edgeproxy.sites.site import Expected, Plan, Presentation, Realm
from edgeproxy.upstream.upstream import Origin

WHEEL_BYTES_MAX = 64 << 20  # the pipeline shows no larger body to a view
NOT_SERVED = "nothing of this host is served here"


@dataclass(frozen=True, slots=True)
class _File:
    """A file as a request names it."""

    origin: Origin
    path: str
    canonical: str
    own: bool

    @property
    def name(self) -> str:
        return python_names.file_name(self.canonical)

    def fields(self, *, immutable: bool) -> Presentation | None:
        return None if self.own else file_fields(immutable=immutable)


class PagePlan(Protocol):
    """The plan of a project's page, which is seen first where it must tell about a file."""

    def __call__(self, request: Request, project: str, *, own: bool) -> Plan: ...


class Files:
    """The files of one index, whose URL is `source`. `refused` is asked before the page of a project that
    may be unknown; with `listed_only` no file is fetched that no page lists."""

    def __init__(
        self,
        *,
        settings: config.Site,
        clock: Clock,
        links: LinkRules,
        rules: IndexRules,
        plans: IndexPlans,
        facts: Facts,
        hosts: LinkHosts,
        blocked: tuple[str, ...],
        page: PagePlan,
        refused: Callable[[Request, str], Response | None],
        source: str,
        listed_only: bool,
    ) -> None:
        self._source = source
        self._listed_only = listed_only
        self._settings = settings
        self._clock = clock
        self._links = links
        self._rules = rules
        self._plans = plans
        self._facts = facts
        self._hosts = hosts
        self._blocked = blocked
        self._page = page
        self._refused = refused

    def realm_of(self, origin: Origin, target: str, *, is_node: bool) -> Realm | None:
        """That of a host which pages have linked to. Where no page has been seen a node that names a file is
        believed so far that the page of the project is looked at."""
        if self._links.is_known(origin):
            return None  # the configuration names it
        if origin in self._hosts:
            return Realm(origin)
        project = self._project_of(target.partition("?")[0])
        is_likely = origin.scheme == self._links.index.scheme and self._links.is_served(origin, hashed=True)
        if not is_node or project is None or not is_likely:
            return None
        return Realm(origin) if self._facts.page(project) is None else None

    def named(self, request: Request, origin: Origin, path: str) -> Plan | Response | None:
        """A file under the name of its host; None for what no file is."""
        if self._project_of(path) is None:
            return None
        if not self._is_near(origin) and not self._links.is_served(origin, hashed=True):
            return None
        return self.request(request, origin, path, own=True)

    def _project_of(self, path: str) -> str | None:
        path = path.removesuffix(".metadata").removesuffix(".asc")
        canonical = python_names.canonical_path(path)
        return None if canonical is None else python_names.project_of_file(python_names.file_name(canonical))

    def _is_near(self, origin: Origin) -> bool:
        """Whether the host is one of the configuration, or a page has linked to it."""
        return self._links.is_known(origin) or origin in self._hosts

    def request(
        self, request: Request, origin: Origin | None, path: str, *, own: bool = False
    ) -> Plan | Response:
        sidecar = path.endswith(".metadata")
        path = path.removesuffix(".metadata")
        canonical = python_names.canonical_path(path)
        if origin is None or canonical is None:
            return text(404, "no file can have this name")
        file = _File(origin, path, canonical, own)
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
        return age > 0 and (facts.uploaded is None or facts.uploaded > self._clock() - age)

    def _file(self, request: Request, file: _File, project: str, facts: FileFacts) -> Plan:
        known = bool(facts.sha256)
        return self._plans.of_file(
            request,
            file.origin,
            facts.path or file.canonical,
            self._rules.file if known else self._rules.unhashed,
            expected=Expected(facts.sha256.hex(), facts.size),
            present=file.fields(immutable=known),
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
        view = SidecarView(project, identity, digest, self._source)
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
            present=file.fields(immutable=bool(digest)),
            otherwise=instead if advertised and is_openable else None,
            missing=NoSidecar(project, identity, self._source) if advertised and not is_openable else None,
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
            prerequisite=self._page(request, project, own=file.own),
        )
        return replace(plan, key_suffix=f"{plan.key_suffix} removed")

    def _unlisted(self, request: Request, file: _File, project: str | None, sidecar: bool) -> Plan | Response:
        """A file no page we remember lists. Its project's page is asked first; without facts it is
        fetched only from a host of the configuration, and never where its age must be known."""
        known_host = self._is_near(file.origin)
        listed = project is not None and self._facts.page(project) is not None
        if file.own and listed and not known_host:
            return text(421, NOT_SERVED)
        if project is None and not self._links.is_known(file.origin):
            return text(404, "no page of this index lists this file")
        refused = None if project is None else self._refused(request, project)
        if refused is not None:
            return refused
        page = None if project is None else self._page(request, project, own=file.own)
        target = f"{file.path}.metadata" if sidecar else file.path
        is_small = sidecar or file.name.endswith(".asc")
        may_ask = self._links.is_known(file.origin) and self._settings.min_release_age == 0
        may_ask = may_ask and not self._settings.require_hash and not self._listed_only
        plan = self._plans.of_file(
            request,
            file.origin,
            target,
            self._rules.unadvertised if is_small else self._rules.unhashed,
            present=file.fields(immutable=False),
            tags=(f"project:{project}",) if project else (),
            name=file.name,
            prefetch_bytes_max=self._settings.prefetch,
            prerequisite=page,
            # A stored file of a project that has been removed is not served, after a restart either.
            prerequisite_always=believes_missing(self._settings)
            and project is not None
            and not listed
            and python_names.is_exact(file.name),
        )
        if may_ask:
            return plan
        status = 503 if known_host and not listed else 404
        if file.own and not known_host:
            status = 421
        # "Offline" keeps the pipeline from asking for this file; what is stored is still served, but
        # only for a host a page has linked to: other sites' stored responses are not this one's.
        rules = replace(plan.rules, offline=True, unavailable_status=status)
        return replace(
            plan,
            rules=rules,
            key_suffix=plan.key_suffix if known_host else f"{plan.key_suffix} unknown",
        )
