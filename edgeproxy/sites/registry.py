"""Which site answers a request. Kinds of sites are entry points of the group `edgeproxy.sites`; those
built in are known without one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Request
from edgeproxy.sites import generic, huggingface, python_upstreams
from edgeproxy.sites.site import Site, SiteContext

GROUP = "edgeproxy.sites"

Build: TypeAlias = Callable[[config.Site, SiteContext], Site]

_BUILT_IN: dict[str, Build] = {
    "generic": generic.build,
    "python-index": python_upstreams.build,
    "huggingface": huggingface.build,
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


class SiteTable:
    """All sites of the node, in the order in which they are tried."""

    def __init__(self, places: Sequence[Place]) -> None:
        # Hosts first, then the longest mount: the first place that fits is the answer.
        order = sorted(places, key=lambda place: len(place.mount), reverse=True)
        self._any_host = tuple(place for place in order if not place.hosts)
        self._by_host: dict[str, list[Place]] = {}
        for place in order:
            for host in place.hosts:
                self._by_host.setdefault(host, []).append(place)
        self.sites: tuple[Site, ...] = tuple(place.site for place in places)
        self.mounts: tuple[str, ...] = tuple(
            f"{sorted(place.hosts)[0] if place.hosts else ''}{place.mount or '/'}" for place in places
        )

    def route(self, request: Request) -> tuple[Site, str] | None:
        """The site and the raw target below its mount, starting with "/"; None if nobody serves it."""
        target = request.target
        if self._by_host:
            host = request.authority.lower()
            for known in (host, _without_port(host)):
                for place in self._by_host.get(known, ()):
                    below = place.below(target)
                    if below is not None:
                        return place.site, below
        for place in self._any_host:
            below = place.below(target)
            if below is not None:
                return place.site, below
        return None

    def named(self, name: str) -> Site | None:
        return next((site for site in self.sites if site.name == name), None)


def build_sites(settings: Sequence[config.Site], context: SiteContext) -> SiteTable:
    """Builds every site configured, or the preset if there is none. Raises ConfigurationError."""
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
        places.append(Place(_kind(one, where)(one, context), mount, hosts))
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
        return built_in
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


def _without_port(host: str) -> str:
    name, mark, port = host.rpartition(":")
    return name if mark and port.isascii() and port.isdigit() else host
