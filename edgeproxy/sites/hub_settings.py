"""Options of a hub that are more than one value: where it is, whom it may redirect to, whose token goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.sites.site import SiteContext
from edgeproxy.sites.urls import configured_url, looks_private
from edgeproxy.upstream.upstream import Origin, Reach

# Where the public hub keeps its files. Mirrors of it redirect there as well.
CONTENT_HOSTS = frozenset({".hf.co", ".huggingface.co", ".xethub.hf.co"})
# A hub on this machine keeps its files on this machine, if under another of its addresses.
_LOOPBACK = frozenset({"::1", "localhost", *(f"127.0.0.{number}" for number in range(1, 255))})
_HOST = re.compile(r"\.?[a-z0-9_](?:[a-z0-9_.:-]{0,252})", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub. `prefix` is the path of its endpoint without a slash at the end, `redirects` the hosts its files
    may come from, `authorization` what is sent for clients that bring nothing ("" for nothing)."""

    origin: Origin
    prefix: str
    reach: Reach
    redirects: frozenset[str]
    authorization: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        return self.origin.url + self.prefix


def hub(settings: config.Site, context: SiteContext) -> Hub:
    """Raises ConfigurationError; reads the token's file."""
    where = f"site.{settings.name}"
    origin, path, userinfo = configured_url(settings.endpoint, f"{where}.endpoint")
    if userinfo:
        raise ConfigurationError(f"{where}.endpoint", "cannot hold a user name or password")
    private = settings.private_addresses
    hosts = {origin.host, *CONTENT_HOSTS, *_hosts(settings.content_hosts, f"{where}.content_hosts")}
    if origin.host in _LOOPBACK:
        hosts |= _LOOPBACK
    token = _token(settings, where)
    return Hub(
        origin=origin,
        prefix=path.rstrip("/"),
        reach=replace(
            context.reach,
            verify_tls=settings.verify_tls,
            ca_file=settings.ca_file or context.reach.ca_file,
            # A public hub whose redirects lead into a private network is not to be followed there.
            private_addresses=looks_private(origin.host) if private is None else private,
        ),
        redirects=frozenset(hosts),
        authorization=f"Bearer {token}" if token else "",
    )


def _hosts(hosts: list[str], where: str) -> list[str]:
    for host in hosts:
        if _HOST.fullmatch(host) is None:
            raise ConfigurationError(where, f'{host!r} is not a host in lower case such as "cdn.example"')
    return hosts


def _token(settings: config.Site, where: str) -> str:
    token = settings.token
    if settings.token_file:
        if token:
            raise ConfigurationError(f"{where}.token_file", "there is a token as well: give one of the two")
        try:
            text = Path(settings.token_file).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{where}.token_file", "cannot be read") from error
        token = text.strip(" \t\r\n")
    if token and _TOKEN.fullmatch(token) is None:
        raise ConfigurationError(f"{where}.token", "is not a token")  # which is not repeated here
    return token
