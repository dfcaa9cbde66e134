"""What `edgeproxy warm` can be told to fetch, and where the node has it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import quote

from edgeproxy.cli.environment import site_url
from edgeproxy.config import Config, Site, default_sites
from edgeproxy.errors import ConfigurationError
from edgeproxy.sites import hub_names

_URL = re.compile(r"https?://[!-~]{1,8192}", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/[!-~]{0,8192}", re.ASCII)
_REPOSITORY = re.compile(r"(?P<site>[A-Za-z0-9_-]{1,64}):(?P<id>[^@:]{1,256})(?:@(?P<revision>.{1,255}))?")
_HUB = "huggingface"


@dataclass(frozen=True, slots=True)
class RepositoryTarget:
    """A repository of a hub at a revision; `site` is the name of the site, or "hf" for the first hub."""

    site: str
    repository: hub_names.Repo
    revision: str

    def __str__(self) -> str:
        return f"{self.site}:{self.repository.web}@{self.revision}"

    @property
    def info_path(self) -> str:
        return f"{self.repository.api}/revision/{quote(self.revision, safe='')}"

    def tree_path(self, commit: str) -> str:
        return f"{self.repository.api}/tree/{commit}?recursive=true&expand=false"

    def file_path(self, commit: str, path: str) -> str:
        return hub_names.file_target(hub_names.File(self.repository, "resolve", commit, path), commit)


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """One URL, or a raw path at the node."""

    text: str

    def __str__(self) -> str:
        return self.text

    def url(self, node: str) -> str:
        return node.rstrip("/") + self.text if self.text.startswith("/") else self.text


Target = RepositoryTarget | UrlTarget


def parse_target(text: str) -> Target:
    """hf:org/name, hf:datasets/org/name@revision, a URL, or a path. Raises ValueError with one line."""
    if _URL.fullmatch(text) or _PATH.fullmatch(text):
        return UrlTarget(text)
    found = _REPOSITORY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not hf:org/name[@revision], a URL or a path at the node")
    kind, *rest = found["id"].split("/")
    parts = rest if rest and kind in hub_names.KINDS else [kind, *rest]
    repository = hub_names.repo(kind if parts is rest else "models", *parts)
    if repository is None:
        raise ValueError(f"{found['id']!r} can be no repository: write org/name or datasets/org/name")
    revision = found["revision"] or "main"
    if hub_names.revision(quote(revision, safe="")) is None:
        raise ValueError(f"{revision!r} can be no revision")
    return RepositoryTarget(found["site"], repository, revision)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the node answers for a hub: URL without a slash at the end, and the Host it wants ("" for
    that of the URL)."""

    url: str
    host: str = ""


def hub_settings(config: Config, name: str) -> Site:
    """The hub of this name, the first for "hf". Raises ConfigurationError when there is none."""
    hubs: list[Site] = [site for site in config.site or default_sites() if site.kind == _HUB]
    named = [site for site in hubs if site.name == name] or (hubs if name == "hf" else [])
    if not named:
        known = ", ".join(site.name for site in hubs) or "none"
        raise ConfigurationError("site", f"no hub is called {name!r} (configured: {known})")
    return named[0]


def hub_place(config: Config, name: str, node: str) -> Place:
    """Raises ConfigurationError."""
    site = hub_settings(config, name)
    return Place(site_url(node, site), site.hosts[0] if site.hosts and not site.mount else "")


def as_asked(config: Config, text: str) -> str:
    """The URL or path under which clients ask the node for `text`: hf:org/name, or a URL of a hub it
    serves, as they stand in the hub's own pages; anything else as it is. Raises ConfigurationError."""
    for site in config.site or default_sites():
        hub = site.endpoint.rstrip("/")
        if site.kind == _HUB and text.startswith(f"{hub}/"):
            return _under(site, text[len(hub) :])
    try:
        target = parse_target(text)
    except ValueError:
        return text
    if isinstance(target, UrlTarget):
        return text
    return _under(hub_settings(config, target.site), target.info_path)


def _under(site: Site, path: str) -> str:
    mount = site.mount.rstrip("/")
    return f"http://{site.hosts[0]}{mount}{path}" if site.hosts else f"{mount}{path}"


def is_wanted(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a file is chosen by patterns as shells know them; "folder/" stands for all below it."""
    return (not include or _matches(path, include)) and not _matches(path, exclude)


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, f"{each}*" if each.endswith("/") else each) for each in patterns)
