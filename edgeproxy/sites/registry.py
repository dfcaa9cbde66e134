"""Which site answers a request. Kinds of sites are entry points of the group `edgeproxy.sites`; those
built in are known without one. A kind is loaded with the first site of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import BytesBody, Headers, Request, Response
from edgeproxy.sites.site import NamedSite, Planned, ReachingSite, Realm, Site, SiteContext
from edgeproxy.sites.urls import parse_url
from edgeproxy.upstream.upstream import Identity, Origin, Reach

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "edgeproxy.sites"

Build: TypeAlias = Callable[[config.Site, SiteContext], Site]

# Modules, each with a function `build`.
_BUILT_IN = {
    "api": "edgeproxy.sites.api",
    "generic": "edgeproxy.sites.generic",
    "python-index": "edgeproxy.sites.python_upstreams",
    "huggingface": "edgeproxy.sites.huggingface",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a site answers: under `mount` ("" for the whole tree), for `hosts` (none: for any)."""

    site: Site
    mount: str
    hosts: frozenset[str]

    def below(self, target: str) -> str | None:
        """The raw target below the mount, starting with "/"; None if the mount does not hold it."""
        if not self.mount:
            return target if target.startswith("/") else None
        if not target.startswith(self.mount):
            return None
        rest = target[len(self.mount) :]
        if not rest or rest.startswith("?"):
            return f"/{rest}"
        return rest if rest.startswith("/") else None


NOT_SERVED = Response(
    421,
    Headers((("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))),
    BytesBody(b"nothing of this host is served here under its own name\n"),
)


class Routed(NamedTuple):
    """A site that may answer, and the raw target below its mount or realm, starting with "/". `is_named`:
    it is asked under the name of an upstream."""

    site: Site
    path: str
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class _Named:
    """A site as one is asked under the name of `origin`: a Site whose plans are those of `plan_named`, or
    NOT_SERVED."""

    site: Site
    named: NamedSite
    origin: Origin

    @property
    def name(self) -> str:
        return self.site.name

    def plan(self, request: Request, path: str) -> Planned:
        planned = self.named.plan_named(request, self.origin, request.target)
        return NOT_SERVED if planned is None else planned

    def learn(self, learned: Any) -> None:
        self.site.learn(learned)


class SiteTable:
    """All sites of the node, in the order in which they are tried.

    A request is routed, in this order:
    1. by the hosts of the configuration, which are names of this node;
    2. by the name of an upstream of the configuration (a site's `realms`);
    3. by mount.
    Names that are known only from what pages say come before the mounts for a node, and after them for
    anybody else: no page can take a path of ours away. A node that asks by name is never answered from a
    mount, because a mount answers under any name, for one upstream only."""

    def __init__(self, places: Sequence[Place]) -> None:
        # Hosts first, then the longest mount: the first place that fits is the answer.
        order = sorted(places, key=lambda place: len(place.mount), reverse=True)
        self._any_host = tuple(place for place in order if not place.hosts)
        self._by_host: dict[str, list[Place]] = {}
        for place in order:
            for host in place.hosts:
                self._by_host.setdefault(host, []).append(place)
        self.sites: tuple[Site, ...] = tuple(place.site for place in places)
        self._named_sites = tuple((site, site) for site in self.sites if isinstance(site, NamedSite))
        self._by_name: dict[str, list[tuple[_Named, Realm]]] = {}
        realms = [
            (_Named(site, own, realm.origin), realm)
            for site, own in self._named_sites
            for realm in own.realms
        ]
        # Where the scheme is not told, https is meant.
        for named, realm in sorted(realms, key=lambda item: item[1].origin.scheme != "https"):
            for authority in _spellings(realm.origin):
                self._by_name.setdefault(authority, []).append((named, realm))
        self.mounts: tuple[str, ...] = tuple(
            f"{sorted(place.hosts)[0] if place.hosts else ''}{place.mount or '/'}" for place in places
        )

    def routes(self, request: Request, *, is_node: bool = False) -> Iterator[Routed]:
        """Who may answer, the first whose plan is not NOT_SERVED. `is_node`: a node asks its parent."""
        host = request.authority.lower()
        if request.is_named:
            yield from self._routes_by_name(request, host)
            yield from self._routes_learned(request, host, is_node=False)
            return
        known = [place for name in (host, _without_port(host)) for place in self._by_host.get(name, ())]
        yield from _first(known, request.target)
        if not known:
            yield from self._routes_by_name(request, host)
            if is_node:
                yield from self._routes_learned(request, host, is_node=True)
        if is_node:
            return
        yield from _first(self._any_host, request.target)
        if not known:
            yield from self._routes_learned(request, host, is_node=False)

    def route(self, request: Request) -> Routed | None:
        """The first of `routes`; None if nobody serves it."""
        return next(self.routes(request), None)

    def _routes_by_name(self, request: Request, host: str) -> Iterator[Routed]:
        for named, realm in self._by_name.get(host, ()):
            below = realm.below(request.target)
            told = request.target_scheme or (request.scheme if request.is_named else "")
            if below is not None and told in ("", realm.origin.scheme):
                yield Routed(named, below, is_named=True)

    def _routes_learned(self, request: Request, host: str, *, is_node: bool) -> Iterator[Routed]:
        told = request.target_scheme or (request.scheme if request.is_named else "")
        for scheme in (told,) if told else ("https", "http"):
            parsed = parse_url(f"{scheme}://{host}/")
            if parsed is None:
                return
            for site, own in self._named_sites:
                realm = own.realm_of(parsed[0], request.target, is_node=is_node)
                below = None if realm is None else realm.below(request.target)
                if below is not None:
                    yield Routed(_Named(site, own, parsed[0]), below, is_named=True)

    def has_host(self, scheme: str, host: str, port: int) -> bool:
        """Whether a site serves something under this name."""
        return self._site_of(Origin(scheme, host, port)) is not None

    def _site_of(self, origin: Origin) -> Site | None:
        for named, _ in self._by_name.get(origin.authority, ()):
            if named.origin == origin:
                return named.site
        known = (
            site for site, own in self._named_sites if own.realm_of(origin, "/", is_node=False) is not None
        )
        return next(known, None)

    def reach_of(self, origin: Origin) -> Reach | None:
        """How the site that serves something under this name reaches it, without what it identifies itself
        by; None where no site does, or does not tell."""
        site = self._site_of(origin)
        return replace(site.reach_of(origin), identity=Identity()) if isinstance(site, ReachingSite) else None

    def named(self, name: str) -> Site | None:
        return next((site for site in self.sites if site.name == name), None)

    def origins_of(self, name: str) -> tuple[Origin, ...]:
        """The upstreams under whose URLs a site's responses are stored, as far as it tells."""
        site = self.named(name)
        return site.origins if isinstance(site, NamedSite) else ()


def build_sites(
    settings: Sequence[config.Site],
    context: SiteContext,
    kept: Sequence[tuple[config.Site, Site]] = (),
) -> SiteTable:
    """Builds every site configured, or the preset if there is none; a site among `kept` that was built from
    the same settings is used again. Raises ConfigurationError."""
    chosen = tuple(settings) or config.default_sites()
    names: set[str] = set()
    places: list[Place] = []
    for one in chosen:
        where = f"site.{one.name}"
        if one.name in names:
            raise ConfigurationError(f"{where}.name", "two sites have this name")
        names.add(one.name)
        mount, hosts = _place(one, where)
        for other in places:
            if other.mount == mount and (other.hosts & hosts or not (other.hosts or hosts)):
                raise ConfigurationError(
                    f"{where}.mount", f"{mount or '/'} belongs to the site {other.site.name} already"
                )
        site = next((built for known, built in kept if known == one), None)
        places.append(Place(site or _kind(one, where)(one, context), mount, hosts))
    return SiteTable(places)


def _place(settings: config.Site, where: str) -> tuple[str, frozenset[str]]:
    mount = settings.mount
    if not mount and not settings.hosts:
        raise ConfigurationError(f"{where}.mount", 'a site needs a mount such as "/" or hosts')
    if mount and (not mount.startswith("/") or not mount.isascii() or "?" in mount or "#" in mount):
        raise ConfigurationError(f"{where}.mount", 'is a path prefix such as "/pypi"')
    for host in settings.hosts:
        if not host or host != host.lower() or "/" in host or " " in host:
            raise ConfigurationError(f"{where}.hosts", f"{host!r} is not a host in lower case")
    return mount.rstrip("/"), frozenset(settings.hosts)


def _kind(settings: config.Site, where: str) -> Build:
    built_in = _BUILT_IN.get(settings.kind)
    if built_in is not None:
        build: Build = import_module(built_in).build
        return build
    from importlib.metadata import entry_points  # reads what is installed

    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    entry = found.get(settings.kind)
    if entry is not None:
        return _load(entry, where)
    known = sorted({*_BUILT_IN, *found})
    near = difflib.get_close_matches(settings.kind, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise ConfigurationError(f"{where}.kind", f"{settings.kind!r} is no kind of site; {hint}")


def _load(entry: EntryPoint, where: str) -> Build:
    try:
        build: Build = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{where}.kind", f"{entry.value} cannot be loaded: {error}") from error
    return build


def _first(places: Iterable[Place], target: str) -> Iterator[Routed]:
    for place in places:
        below = place.below(target)
        if below is not None:
            yield Routed(place.site, below)
            return


def _spellings(origin: Origin) -> set[str]:
    """The ways in which a request may write the authority of an origin."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return {origin.authority, f"{host}:{origin.port}"}


def _without_port(host: str) -> str:
    name, mark, port = host.rpartition(":")
    return name if mark and port.isascii() and port.isdigit() else host
