"""Where an upstream of the configuration is."""

from __future__ import annotations

from urllib.parse import urlsplit

from edgeproxy.errors import ConfigurationError
from edgeproxy.upstream.upstream import Origin


def place_of(url: str, path: str) -> tuple[Origin, str]:
    """Origin and path prefix (no slash at its end) of a URL; raises ConfigurationError naming `path`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(path, "is not a plain URL like https://host:port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigurationError(path, "is not a plain URL like https://host:port")
    origin = Origin(parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80))
    return origin, parts.path.rstrip("/")
