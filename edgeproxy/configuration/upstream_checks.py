"""Whether what a configuration says of parents and siblings makes sense."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from edgeproxy.address import parse_name_server
from edgeproxy.config import Config, Parent, Siblings, default_sites
from edgeproxy.errors import ConfigurationError

ORIGIN = "origin"  # what every origin is called where candidates are named

_NAME = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9_.:\[\]-]{0,127}")
_PIN = re.compile(r"(?:sha256//)?[A-Za-z0-9+/]{43}=")
_TOKEN = re.compile(r"[!-~]{0,1024}")


def check_upstreams(config: Config) -> None:
    """Raises ConfigurationError for the first thing that cannot work."""
    for parent in config.parent:
        _check_parent(parent, f"parent.{parent.name or parent.url}")
        _check_sites(parent, config)
    if config.upstream.origin == "never" and not config.parent:
        raise ConfigurationError("upstream.origin", '"never" needs a [[parent]]: there is nobody else to ask')
    _check_siblings(config.siblings)
    for text in config.upstream.nameservers:
        try:
            parse_name_server(text)
        except ValueError as error:
            raise ConfigurationError("upstream.nameservers", str(error)) from None


def _check_parent(parent: Parent, path: str) -> None:
    if parent.name and (_NAME.fullmatch(parent.name) is None or parent.name == ORIGIN):
        message = "letters, digits and -._:[] only, and not 'origin': it is a label of metrics"
        raise ConfigurationError(f"{path}.name", message)
    _check_url(parent.url, f"{path}.url")
    if parent.asks == "origin-name" and urlsplit(parent.url).path not in ("", "/"):
        raise ConfigurationError(f"{path}.url", 'a path is used only with asks = "own-name"')
    if not parent.sites:
        raise ConfigurationError(f"{path}.sites", 'is empty: nothing would be asked; "*" stands for all')
    _check_secrets(parent, path)
    check_pins(parent.pins, f"{path}.pins")
    if parent.pins and not parent.url.startswith("https:"):
        raise ConfigurationError(f"{path}.pins", "need a URL with https")


def _check_sites(parent: Parent, config: Config) -> None:
    names = [site.name for site in config.site or default_sites()]
    for pattern in parent.sites:
        if not any(fnmatchcase(name, pattern) for name in names):
            path = f"parent.{parent.name or parent.url}.sites"
            raise ConfigurationError(path, f"{pattern!r} fits no site; there are {', '.join(names)}")


def _check_siblings(siblings: Siblings) -> None:
    if not siblings.nodes:
        return
    for node in siblings.nodes:
        _check_url(node, "siblings.nodes")
        if urlsplit(node).path not in ("", "/"):
            raise ConfigurationError("siblings.nodes", "a node has no path in its URL")
    if len(set(siblings.nodes)) != len(siblings.nodes):
        raise ConfigurationError("siblings.nodes", "a node is there twice")
    if siblings.own not in siblings.nodes:
        raise ConfigurationError("siblings.own", "is not one of siblings.nodes, written the same way")
    _check_secrets(siblings, "siblings")


def _check_url(url: str, path: str) -> None:
    if not url:
        raise ConfigurationError(path, "is needed")
    if urlsplit(url).username is not None:
        raise ConfigurationError(path, "cannot hold a user name or password; use token")


def _check_secrets(section: Parent | Siblings, path: str) -> None:
    if section.token and section.token_file:
        raise ConfigurationError(f"{path}.token_file", "token is set already")
    if _TOKEN.fullmatch(section.token) is None:
        raise ConfigurationError(f"{path}.token", "is written in printable ASCII without spaces")
    check_pair(section.certificate, section.key, path)


def check_pins(pins: Iterable[str], path: str) -> None:
    """Raises ConfigurationError for what is no pin of a public key."""
    for pin in pins:
        if _PIN.fullmatch(pin) is None:
            message = "a pin is the SHA-256 of a public key in base64: 43 signs and ="
            raise ConfigurationError(path, message)


def check_pair(certificate: str, key: str, path: str) -> None:
    """Raises ConfigurationError where one file is told and the other is not."""
    if bool(certificate) != bool(key):
        missing = "key" if certificate else "certificate"
        raise ConfigurationError(f"{path}.{missing}", "certificate and key are set together or not at all")
