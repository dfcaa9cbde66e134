"""Several indexes behind one mount, in order: each project is served by the one it belongs to.

Every index is a site of its own with its own facts, credentials and link hosts; this one only decides
who is asked. Nothing is merged: no page lists files of two indexes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import msgspec

from edgeproxy import config
from edgeproxy.address import answers_at
from edgeproxy.errors import ConfigurationError, StorageError
from edgeproxy.message import Request, Response
from edgeproxy.sites import pip_configuration, python_names
from edgeproxy.sites.python_answers import text, too_many_names
from edgeproxy.sites.python_ask_rate import AskRate
from edgeproxy.sites.python_facts import NoSidecar, PageFacts, Removed
from edgeproxy.sites.python_index import PythonIndex
from edgeproxy.sites.python_links import LinkRules, origin_of_id
from edgeproxy.sites.python_owners import Answered, Ask, Owner, Owners, ReadAnswer, Unknown
from edgeproxy.sites.python_rules import RETRY_AFTER_SECONDS
from edgeproxy.sites.python_settings import authorization_field, link_hosts
from edgeproxy.sites.site import Inquiry, Plan, Planned, Realm, Site, SiteContext
from edgeproxy.sites.urls import configured_url, looks_private, parse_url
from edgeproxy.upstream.upstream import Origin, Reach


def build_one(settings: config.Site, context: SiteContext, *, listed_only: bool = False) -> PythonIndex:
    """A site of one index; reads pip's configuration and the credentials file. Raises ConfigurationError."""
    where = f"site.{settings.name}"
    pip = None if settings.index else pip_configuration.read(is_own=lambda url: _leads_back(url, context))
    index_url = settings.index or (pip.index_url if pip else "")
    origin, path, userinfo = configured_url(index_url, f"{where}.index")
    private = settings.private_addresses
    return PythonIndex(
        settings=settings,
        context=context,
        origin=origin,
        path=path.rstrip("/") + "/",
        links=LinkRules(
            index=origin,
            private=looks_private(origin.host) if private is None else private,
            configured=frozenset(link_hosts(settings.link_hosts, f"{where}.link_hosts")),
            learn=not settings.link_hosts,
        ),
        authorization=authorization_field(settings, userinfo, where),
        ca_file=settings.ca_file or (pip.ca_file if pip else "") or context.reach.ca_file or "",
        listed_only=listed_only,
    )


def _leads_back(url: str, context: SiteContext) -> bool:
    parsed = parse_url(url)
    return parsed is not None and answers_at(context.listens, parsed[0].host, parsed[0].port)


def build(settings: config.Site, context: SiteContext) -> Site:
    """A python-index site, of one index or of several. Raises ConfigurationError."""
    if not settings.upstreams:
        return build_one(settings, context)
    where = f"site.{settings.name}"
    alone = msgspec.structs.replace(settings, upstreams=[], private=[], names_per_client=0)
    members = [build_one(alone, context, listed_only=True)]
    for url in settings.upstreams:
        configured_url(url, f"{where}.upstreams")
        # What is said of the first index (credentials, a private network) is not true of the others: they
        # have their credentials in their own URL, and it tells where they are.
        other = msgspec.structs.replace(
            alone,
            index=url,
            credentials="none",
            credentials_file="",
            private_addresses=None if settings.private_addresses else settings.private_addresses,
        )
        members.append(build_one(other, context, listed_only=True))
    urls = [member.index_url for member in members]
    if len(set(urls)) != len(urls):
        raise ConfigurationError(f"{where}.upstreams", "names an index twice")
    try:
        owners = Owners(urls, settings.private, context.ledger(settings.name))
    except StorageError as error:
        raise ConfigurationError(where, f"owners of names: {error}") from error
    return PythonIndexes(settings, context, members, owners)


class PythonIndexes:
    """Lives on the event loop."""

    def __init__(
        self, settings: config.Site, context: SiteContext, members: list[PythonIndex], owners: Owners
    ) -> None:
        self.name = settings.name
        self._passes = settings.credentials == "pass"
        self._clock = context.clock
        self._members = members
        self._owners = owners
        self._ask_rate = AskRate(settings.names_per_client)

    # -- the two methods of a Site -------------------------------------------------------------

    def plan(self, request: Request, path: str) -> Planned:
        raw = path.partition("?")[0].partition("#")[0]
        if request.method not in ("GET", "HEAD") or not raw.isascii():
            return self._members[0].plan(request, path)
        match raw.split("/")[1:]:
            case ["f", identity, *rest] if rest:
                return self._file(request, path, identity, "/" + "/".join(rest))
            case ["simple", name, ""]:
                project = name if python_names.project(name) == name else None
            case (
                ["pypi", name, "json"]
                | ["pypi", name, "json", ""]
                | ["pypi", name, _, "json"]
                | ["pypi", name, _, "json", ""]
                | ["integrity", name, _, _, "provenance"]
            ):
                project = python_names.project(name)
            case _:
                project = None
        if project is None:  # a redirect, the first index's list of projects, or nothing
            return self._members[0].plan(request, path)
        return self._of(request, path, project)

    # -- under the names of the indexes --------------------------------------------------------

    @property
    def realms(self) -> tuple[Realm, ...]:
        return tuple(dict.fromkeys(realm for member in self._members for realm in member.realms))

    @property
    def origins(self) -> tuple[Origin, ...]:
        return tuple(dict.fromkeys(origin for member in self._members for origin in member.origins))

    def realm_of(self, origin: Origin, target: str, *, is_node: bool) -> Realm | None:
        found = (member.realm_of(origin, target, is_node=is_node) for member in self._members)
        return next(filter(None, found), None)

    def reach_of(self, origin: Origin) -> Reach:
        """As the index does that names the host, the first if none does."""
        found = (member for member in self._members if any(realm.origin == origin for realm in member.realms))
        member = next(found, None) or next(
            (one for one in self._members if one.realm_of(origin, "/", is_node=False) is not None),
            self._members[0],
        )
        return member.reach_of(origin)

    def plan_named(self, request: Request, origin: Origin, target: str) -> Planned | None:
        """Who names an index gets what that index has; a file is that of the index it belongs to. Names
        that are private are asked of no other index by any way."""
        path = target.partition("?")[0]
        for number, member in enumerate(self._members):
            if member.has_named_page(origin, path):
                return self._named(number, request, origin, target)
        canonical = python_names.canonical_path(path.removesuffix(".metadata"))
        if canonical is None:
            return None
        for number, member in enumerate(self._members):
            if member.lists(origin, canonical) is not None:
                return self._named(number, request, origin, target)
        project = python_names.project_of_file(python_names.file_name(canonical))
        if project is None or request.method not in ("GET", "HEAD"):
            return None
        standing = self._owners.standing(project, self._credential(request), self._clock())
        if isinstance(standing, Ask):
            return self._inquiry(request, project, standing.number)
        return self._named(standing.number, request, origin, target)

    def _named(self, number: int, request: Request, origin: Origin, target: str) -> Plan | Response | None:
        member = self._members[number]
        planned = member.plan_named(request, origin, target)
        if not isinstance(planned, Plan):
            return planned
        for tag in planned.tags:
            project = tag.removeprefix("project:")
            if number > 0 and self._owners.is_private(project):
                return text(404, "this project is private here")
            refused = None if request.node else self._too_many(request, project)
            if refused is not None:
                return refused
        return replace(planned, source=member.index_url)

    # -- what is learned -----------------------------------------------------------------------

    def learn(self, learned: Any) -> None:
        match learned:
            case Answered():
                self._owners.learn(learned)
            case PageFacts(source=source) | NoSidecar(source=source) | Removed(source=source):
                for member in self._members:
                    if member.index_url == source:
                        member.learn(learned)

    # -- who is asked --------------------------------------------------------------------------

    def _file(self, request: Request, path: str, identity: str, file: str) -> Planned:
        origin = origin_of_id(identity)
        canonical = python_names.canonical_path(file.removesuffix(".metadata"))
        if origin is None or canonical is None:
            return text(404, "no file can have this name")
        listing = (member.lists(origin, canonical) for member in self._members)
        project = next(filter(None, listing), None)
        project = project or python_names.project_of_file(python_names.file_name(canonical))
        if project is None:
            return text(404, "no page of these indexes lists this file")
        return self._of(request, path, project)

    def _of(self, request: Request, path: str, project: str) -> Planned:
        standing = self._owners.standing(project, self._credential(request), self._clock())
        match standing:
            case Owner(number):
                refused = self._too_many(request, project) if number == 0 else None
                return refused or self._from(number, request, path)
            case Ask(number):
                refused = self._too_many(request, project) if number == 0 else None
                return refused or self._inquiry(request, project, number)
            case Unknown(number, _, instead):
                return self._stale(request, path, number, instead)

    def _from(self, number: int, request: Request, path: str) -> Plan | Response:
        member = self._members[number]
        planned = member.plan(request, path)
        return planned if isinstance(planned, Response) else replace(planned, source=member.index_url)

    def _too_many(self, request: Request, project: str) -> Response | None:
        """As an index alone counts: names of which nothing is known."""
        if any(member.knows(project) for member in self._members):
            return None
        wait = self._ask_rate.wait(request.client, self._clock())
        return too_many_names(wait) if wait > 0 else None

    def _inquiry(self, request: Request, project: str, number: int) -> Inquiry | Response:
        """Whether the index has the project: what it says of its page, through the store."""
        planned = self._from(number, request, f"/simple/{project}/")
        if isinstance(planned, Response):
            return planned
        credential = self._credential(request)
        if self._passes and number == 0:
            fields = {**planned.fields, "Authorization": request.headers.get("Authorization") or None}
            planned = replace(planned, fields=fields)
        read = ReadAnswer(self._owners, project, number, credential)
        return Inquiry(f"has {number} {project} {credential}", planned, read)

    def _stale(self, request: Request, path: str, number: int, instead: int | None) -> Plan | Response:
        """An index does not say whether the project is its own: what is stored from the one that has had
        it so far, else the failure. Nobody further down is asked."""
        failing = self._from(number, request, path)
        stored = None if instead is None else self._from(instead, request, path)
        if not isinstance(stored, Plan) or not isinstance(failing, Plan):
            return failing
        rules = replace(stored.rules, offline=True, unavailable_status=503, retry_after=RETRY_AFTER_SECONDS)
        return replace(stored, rules=rules, prerequisite=None, missing=None, otherwise=failing)

    def _credential(self, request: Request) -> str:
        """What one client may see says nothing about what others may."""
        if not self._passes:
            return ""
        given = request.headers.get("Authorization").encode("latin-1", "replace")
        return hashlib.sha256(given).hexdigest()
