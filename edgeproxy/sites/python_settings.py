"""Options of an index that are more than one value: link hosts and credentials."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.sites.urls import configured_url
from edgeproxy.upstream.upstream import Origin


def link_hosts(hosts: list[str], where: str) -> list[Origin]:
    """Hosts are written as "host", "host:port" (https both), or as a URL."""
    return [configured_url(host if "://" in host else f"https://{host}/", where)[0] for host in hosts]


def authorization_field(settings: config.Site, userinfo: str, where: str) -> str | None:
    """Authorization that goes with every request to the index; None if there is none of ours."""
    if settings.credentials == "pass":
        return None
    secret = unquote(userinfo).encode("utf-8")
    if settings.credentials == "static":
        try:
            text = Path(settings.credentials_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{where}.credentials_file", "cannot be read") from error
        secret = text.split("\n", 1)[0].strip(" \t\r").encode("utf-8")
        if b":" not in secret:
            raise ConfigurationError(f"{where}.credentials_file", "does not hold user:password")
    return f"Basic {b64encode(secret).decode('ascii')}" if secret else None


def believes_missing(settings: config.Site) -> bool:
    """Whether a project that the index does not have is gone. With `pass`, a 404 may mean "not for you", and
    says nothing about other clients."""
    return not settings.keep_deleted and settings.credentials != "pass"
