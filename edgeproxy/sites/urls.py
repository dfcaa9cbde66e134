"""URLs of configuration and of pages, taken apart strictly. Nothing here normalises a path."""

from __future__ import annotations

import ipaddress
import re

from edgeproxy.errors import ConfigurationError
from edgeproxy.upstream.upstream import Origin

_URL = re.compile(
    r"(?P<scheme>https?)://(?:(?P<userinfo>[^@/?#\s]*)@)?"
    r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]{0,252}))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)


def parse_url(text: str) -> tuple[Origin, str, str] | None:
    """Origin, target (raw path and query, at least "/") and userinfo of an absolute http(s) URL without
    fragment; None for anything else."""
    matched = _URL.fullmatch(text)
    if matched is None or "#" in text:
        return None
    scheme = matched["scheme"].lower()
    port = int(matched["port"]) if matched["port"] else 443 if scheme == "https" else 80
    host = matched["host"].lower().strip("[]")
    if not 0 < port < 65536 or (":" in host and not is_address(host)):
        return None
    target = matched["target"] or "/"
    return (
        Origin(scheme, host, port),
        target if target.startswith("/") else f"/{target}",
        matched["userinfo"] or "",
    )


def configured_url(text: str, path: str) -> tuple[Origin, str, str]:
    """`parse_url` for a value of the configuration at `path`; raises ConfigurationError. The value is
    not repeated in the message: it may hold a password."""
    parsed = parse_url(text)
    if parsed is None or "?" in parsed[1]:
        raise ConfigurationError(path, "is not a plain URL like https://host:port/path/")
    return parsed


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def looks_private(host: str) -> bool:
    """Whether a host as written can only be meant for a private network: a private address, localhost,
    or a name without a dot."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
