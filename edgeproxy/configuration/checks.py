"""What no single option can tell: whether a whole configuration makes sense."""

from __future__ import annotations

import difflib
import itertools
import re

from edgeproxy.address import parse_address
from edgeproxy.config import Admin, Config, Listen, Node, Site, Tls
from edgeproxy.configuration.proxy_checks import check_proxy
from edgeproxy.configuration.router_checks import check_router
from edgeproxy.configuration.upstream_checks import check_upstreams
from edgeproxy.errors import ConfigurationError

ENTRY_POINTS = "edgeproxy.sites"
WORKERS_MAX = 256
_KINDS = frozenset({"generic", "api", "python-index", "huggingface"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOUNT = re.compile(r"/|(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SERVER_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,250}[a-z0-9_])?")
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}")  # RFC 6750 section 2.1
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def check(config: Config) -> None:
    """Raises ConfigurationError for the first thing that cannot work."""
    _check_listen(config.listen)
    _check_tls(config.tls, bool(config.listen.https))
    _check_admin(config.admin)
    _check_node(config.node)
    for site in config.site:
        _check_site(site)
    for one, other in itertools.combinations(config.site, 2):
        _check_apart(one, other)
    check_upstreams(config)
    check_proxy(config.proxy)
    check_router(config.router)


def _check_listen(listen: Listen) -> None:
    if not listen.http and not listen.https:
        raise ConfigurationError("listen.http", "at least one address is needed, here or in listen.https")
    seen: set[str] = set()
    kinds = (("http", listen.http), ("https", listen.https), ("proxy", listen.proxy))
    for key, addresses in kinds:
        fixed = [address for address in addresses if not address.endswith(":0")]
        if "" in fixed or len(set(fixed)) != len(fixed) or seen & set(fixed):
            raise ConfigurationError(f"listen.{key}", "an address is empty or there twice")
        seen.update(fixed)
    for token in listen.node_tokens:
        if _BEARER.fullmatch(token) is None:  # which is not repeated here
            raise ConfigurationError("listen.node_tokens", "a token is 1 to 256 of A-Z a-z 0-9 - . _ ~ + / =")


def _check_tls(tls: Tls, is_used: bool) -> None:
    """What can be told without opening a file."""
    if is_used and not tls.certificate and not tls.self_signed:
        raise ConfigurationError(
            "tls.certificate",
            "is needed because listen.https is set; tls.self_signed = true makes one for trying out",
        )
    if tls.certificate and tls.self_signed:
        raise ConfigurationError("tls.self_signed", "is for nodes without a tls.certificate")
    if tls.key and not tls.certificate:
        raise ConfigurationError("tls.certificate", "is needed: tls.key is set")
    if tls.client_certificates != "off" and not tls.client_ca:
        raise ConfigurationError("tls.client_ca", "is needed: it tells which client certificates are good")
    if tls.client_certificates == "off" and tls.client_ca:
        raise ConfigurationError(
            "tls.client_certificates", 'is "off" although tls.client_ca is set; nobody would be checked'
        )
    for place, sni in enumerate(tls.sni, 1):
        if not sni.certificate:
            raise ConfigurationError(f"tls.sni.{place}.certificate", "is needed")
        for name in sni.names:
            if _SERVER_NAME.fullmatch(name) is None:
                raise ConfigurationError(
                    f"tls.sni.{place}.names", f'{name!r} is not a lower-case "host" or "*.host"'
                )


def _check_admin(admin: Admin) -> None:
    if not admin.listen:
        return
    if not admin.token and not parse_address(admin.listen).is_local:
        raise ConfigurationError(
            "admin.token", f"is needed because admin.listen ({admin.listen}) is not a loopback address"
        )
    if not admin.token.isascii() or not admin.token.isprintable() or " " in admin.token:
        raise ConfigurationError("admin.token", "is written in printable ASCII without spaces")
    for host in admin.hosts:
        if _HOST.fullmatch(host) is None:
            raise ConfigurationError("admin.hosts", f"{host!r} is not a lower-case host name")


def _check_node(node: Node) -> None:
    if node.workers != "auto" and not 1 <= node.workers <= WORKERS_MAX:
        raise ConfigurationError("node.workers", f'is a number from 1 to {WORKERS_MAX}, or "auto"')
    if node.name and _TOKEN.fullmatch(node.name) is None:
        raise ConfigurationError("node.name", "letters, digits and -._ only: it stands in Via")


def _check_site(site: Site) -> None:
    path = f"site.{site.name}"
    if _NAME.fullmatch(site.name) is None:
        raise ConfigurationError(path, "a site's name is 1 to 64 letters, digits, - and _")
    if site.kind not in _KINDS:
        _check_kind(site, path)
    _check_place(site, path)
    if site.kind in ("generic", "api") and not site.origin:
        raise ConfigurationError(f"{path}.origin", f"kind {site.kind} needs the URL its requests go to")
    for number, pair in enumerate(site.rewrite, 1):
        if len(pair) != 2 or not all(part.startswith("/") for part in pair):
            raise ConfigurationError(f"{path}.rewrite", f'pair {number} is not ["/prefix", "/replacement"]')
    for key, names in (("vary_ignore", site.vary_ignore), ("targeted", site.targeted)):
        for name in names:
            if _TOKEN.fullmatch(name) is None:
                raise ConfigurationError(f"{path}.{key}", f"{name!r} is not a field name")
    if site.credentials == "static" and not site.credentials_file:
        raise ConfigurationError(f"{path}.credentials_file", "is needed for static credentials")


def _check_kind(site: Site, path: str) -> None:
    """One that is not built in must be installed. Reads what is: takes a while."""
    from importlib.metadata import entry_points

    kinds = _KINDS | {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    if site.kind not in kinds:
        near = difflib.get_close_matches(site.kind, kinds, n=1, cutoff=0.5) or sorted(kinds)
        raise ConfigurationError(f"{path}.kind", f"unknown kind; did you mean {' or '.join(near)}?")


def _check_place(site: Site, path: str) -> None:
    """Mount and hosts: which requests are this site's."""
    if not site.mount and not site.hosts:
        raise ConfigurationError(f"{path}.mount", 'is needed, or hosts; "/" takes every path')
    if site.mount and _MOUNT.fullmatch(site.mount) is None:
        raise ConfigurationError(f"{path}.mount", f'{site.mount!r} is not a path like "/" or "/files"')
    if any(part in (".", "..") for part in site.mount.split("/")):
        raise ConfigurationError(f"{path}.mount", "has a dot segment, which no client sends")
    for host in site.hosts:
        if _HOST.fullmatch(host) is None:
            raise ConfigurationError(f"{path}.hosts", f"{host!r} is not a lower-case host or host:port")


def _check_apart(one: Site, other: Site) -> None:
    """Two sites must differ in mount or hosts, or the second could never be reached."""
    same_mount = (one.mount or "/") == (other.mount or "/")
    if same_mount and (set(one.hosts) & set(other.hosts) or (not one.hosts and not other.hosts)):
        raise ConfigurationError(
            f"site.{other.name}.mount", f"{other.mount or '/'!r} with these hosts belongs to site {one.name}"
        )
