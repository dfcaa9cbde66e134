"""Any HTTP origin behind a mount or Host. With nothing set it is a plain RFC 9111 shared cache.

Paths are never normalised: what the client sent below the mount is what the origin gets, and the
cache key is made of the same bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import unquote, unquote_plus

from edgeproxy import config
from edgeproxy.errors import ConfigurationError, RequestError
from edgeproxy.message import Request, Response
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Plan, Realm, SiteContext
from edgeproxy.sites.urls import configured_url
from edgeproxy.upstream.upstream import Origin, Reach

# What a request line cannot carry; all else is the origin's business.
_UNSENDABLE = re.compile(r"[^!-~]")


def build(settings: config.Site, context: SiteContext) -> Generic:
    """Raises ConfigurationError."""
    where = f"site.{settings.name}"
    if not settings.origin:
        raise ConfigurationError(f"{where}.origin", f"kind {settings.kind} needs the URL its requests go to")
    origin, prefix, userinfo = configured_url(settings.origin, f"{where}.origin")
    if userinfo:
        raise ConfigurationError(f"{where}.origin", "cannot hold a user name or password")
    for pair in settings.rewrite:
        if len(pair) != 2 or not all(part.startswith("/") for part in pair):
            raise ConfigurationError(f"{where}.rewrite", 'is a list of ["/prefix", "/replacement"] pairs')
    return Generic(
        name=settings.name,
        origin=origin,
        prefix=prefix.rstrip("/"),
        rules=generic_rules(settings, context),
        reach=replace(
            context.reach,
            verify_tls=settings.verify_tls,
            ca_file=settings.ca_file or context.reach.ca_file,
            http2=context.reach.http2 and settings.http2 != "off",
            prior_knowledge=settings.http2 == "prior-knowledge",
            # The origin's address was chosen by whoever wrote the configuration, not by a client.
            private_addresses=settings.private_addresses is not False,
        ),
        rewrite=tuple((pair[0], pair[1]) for pair in settings.rewrite),
        host_header=settings.host_header,
        query=settings.query,
        query_ignore=frozenset(settings.query_ignore),
        prefetch_bytes_max=settings.prefetch,
    )


def generic_rules(settings: config.Site, context: SiteContext) -> Rules:
    """The options of a site that are policy."""
    strips = settings.cookies == "strip"
    return Rules(
        ttl=settings.ttl,
        ttl_default=settings.ttl_default,
        ttl_max=settings.ttl_max,
        negative_ttl=settings.negative_ttl,
        targeted=tuple(settings.targeted),
        force_store=settings.force_cache,
        stale_while_revalidate=settings.stale_while_revalidate,
        stale_if_error=settings.stale_if_error,
        stale_when_disconnected=settings.max_stale,
        offline=settings.offline or context.offline,
        vary_ignore=frozenset(name.lower() for name in settings.vary_ignore),
        strip_cookie=strips,
        strip_set_cookie=strips,
        body_bytes_max=settings.body,
    )


@dataclass(frozen=True, slots=True)
class Generic:
    """One origin under one set of rules."""

    plans_by_target: ClassVar[bool] = True

    name: str
    origin: Origin
    prefix: str  # path prefix at the origin, without a slash at the end
    rules: Rules
    reach: Reach
    rewrite: tuple[tuple[str, str], ...] = ()
    host_header: str = ""
    query: str = "keep"
    query_ignore: frozenset[str] = frozenset()
    prefetch_bytes_max: int = 0

    def plan(self, request: Request, path: str) -> Plan | Response:
        return self._plan(path, self.rewrite, request.authority)

    @property
    def realms(self) -> tuple[Realm, ...]:
        return (Realm(self.origin, self.prefix),)

    @property
    def origins(self) -> tuple[Origin, ...]:
        return (self.origin,)

    def realm_of(self, origin: Origin, target: str, *, is_node: bool) -> Realm | None:
        return None

    def plan_named(self, request: Request, origin: Origin, target: str) -> Plan | Response | None:
        """Rewriting is for mounts; whoever names the origin names its resources."""
        below = self.realms[0].below(target) if origin == self.origin else None
        return None if below is None else self._plan(below, (), "")

    def reach_of(self, origin: Origin) -> Reach:
        return self.reach

    def _plan(self, path: str, rewrite: tuple[tuple[str, str], ...], host: str) -> Plan:
        """`host` is the name under which a client knows us, "" where it does not."""
        if _UNSENDABLE.search(path) or not path.startswith("/"):
            raise RequestError(400, "the request target holds bytes that cannot be sent")
        path, mark, query = path.partition("?")
        if (self.prefix or rewrite) and _climbs(path):
            # The origin would resolve the dot segments after our prefix, and leave the place it fences.
            raise RequestError(400, "the path climbs out of what is served here", close=False)
        for prefix, replacement in rewrite:
            if path.startswith(prefix):
                path = replacement + path[len(prefix) :]
                break
        if mark:
            query = self._query(query)
            mark = "?" if query or (self.query == "keep" and not self.query_ignore) else ""
        fields: dict[str, str | None] = {}
        key_suffix = ""
        if self.host_header:
            host = host if self.host_header == "client" else self.host_header
            if host and host != self.origin.authority:
                # An origin may answer another Host differently; a space cannot be in a URL.
                fields["Host"], key_suffix = host, f" host={host}"
        return Plan(
            origin=self.origin,
            target=f"{self.prefix}{path}{mark}{query}",
            rules=self.rules,
            reach=self.reach,
            key_suffix=key_suffix,
            fields=fields,
            keep_authorization=True,
            prefetch_bytes_max=self.prefetch_bytes_max,
        )

    def learn(self, learned: Any) -> None:
        return None

    def _query(self, query: str) -> str:
        """The query as it is sent. Parameters move or go as a whole; their encoding is not touched."""
        if self.query == "drop":
            return ""
        if self.query == "keep" and not self.query_ignore:
            return query
        parts = query.split("&")
        if self.query_ignore:
            parts = [part for part in parts if _parameter(part) not in self.query_ignore]
        if self.query == "sort":
            # Stable and by name alone: the order of equal names means something to many origins.
            parts.sort(key=_parameter)
        return "&".join(parts)


def _climbs(path: str) -> bool:
    """Whether any reading of `path` by an origin leads above where it starts: with dot segments plain
    or percent-encoded (once or twice), with backslashes as slashes, with parameters after them."""
    depth = 0
    decoded = unquote(unquote(path)).replace("\\", "/")
    for segment in decoded.split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in ("", "."):
            depth += 1
    return False


def _parameter(part: str) -> str:
    return unquote_plus(part.partition("=")[0], errors="surrogateescape")
