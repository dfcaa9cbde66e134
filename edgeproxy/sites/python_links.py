"""Links of a page to files: which are served by us, and what they become.

A link host is named in our paths by an id from which its origin can be read back, so that links
survive a restart: "host", "host~port", and "http~host..." where it is not https."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin

from edgeproxy.sites import python_names
from edgeproxy.sites.urls import is_address, parse_url
from edgeproxy.upstream.upstream import Origin


def host_id(origin: Origin) -> str:
    host = f"v6~{origin.host.replace(':', '-')}" if ":" in origin.host else origin.host
    scheme = "" if origin.scheme == "https" else "http~"
    default = 443 if origin.scheme == "https" else 80
    return f"{scheme}{host}" if origin.port == default else f"{scheme}{host}~{origin.port}"


def origin_of_id(text: str) -> Origin | None:
    """The origin an id names; None if it is no id."""
    rest = text.removeprefix("http~")
    scheme = "https" if rest == text else "http"
    v6 = rest.startswith("v6~")
    host, _, port = rest.removeprefix("v6~").partition("~")
    host = f"[{host.replace('-', ':')}]" if v6 else host
    parsed = parse_url(f"{scheme}://{host}:{port}/" if port else f"{scheme}://{host}/")
    if parsed is None or host_id(parsed[0]) != text:
        return None
    return parsed[0]


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Which hosts may be linked hosts. `configured` always are; others when a link to them carries a
    hash and they are as public (https, 443, a name) or as private as the index itself."""

    index: Origin
    private: bool  # the index is on a private network by what is configured
    configured: frozenset[Origin] = frozenset()
    learn: bool = True

    def is_known(self, origin: Origin) -> bool:
        return origin == self.index or origin in self.configured

    def is_served(self, origin: Origin, *, hashed: bool) -> bool:
        if self.is_known(origin):
            return True
        if not hashed or not self.learn:
            return False
        if self.private:
            return origin.scheme in ("https", self.index.scheme)
        port = self.index.port if self.index.scheme == "https" else 443
        return origin.scheme == "https" and origin.port in (443, port) and not is_address(origin.host)


class Link(NamedTuple):
    """A link that is served by us; `path` as upstream wrote it, `fragment` with its "#"."""

    origin: Origin
    path: str
    canonical: str
    fragment: str
    relative: str  # from a project page


class Resolver:
    """Resolves the links of one page."""

    def __init__(self, base: str, rules: LinkRules) -> None:
        self._base = base
        self._rules = rules
        self._origins: dict[str, tuple[Origin, str] | None] = {}

    def absolute(self, url: str) -> str:
        return url if url.startswith(("https://", "http://")) else urljoin(self._base, url)

    def resolve(self, url: str, *, hashed: bool) -> Link | None:
        """None for a link that stays what it is: to a host not served, or of an unusual form."""
        if not url.startswith(("https://", "http://")):
            try:
                url = urljoin(self._base, url)
            except ValueError:
                return None
        cut = url.find("/", 8)
        prefix = url[:cut] if cut > 0 else url
        if prefix in self._origins:
            known = self._origins[prefix]
        else:
            parsed = parse_url(prefix)
            usable = parsed is not None and not parsed[2]
            known = (parsed[0], host_id(parsed[0])) if parsed is not None and usable else None
            self._origins[prefix] = known
        if known is None or cut < 0:
            return None
        origin, identity = known
        path, mark, fragment = url[cut:].partition("#")
        canonical = python_names.canonical_path(path)
        if canonical is None or not self._rules.is_served(origin, hashed=hashed):
            return None
        return Link(origin, path, canonical, mark + fragment, f"../../f/{identity}{path}")
