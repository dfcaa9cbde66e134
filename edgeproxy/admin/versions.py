"""Which libraries this process runs: the first question when one of them has a known fault."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import PackageNotFoundError, version

import pycurl

import edgeproxy

_PACKAGES = (
    "aiofastnet",
    "aiohttp",
    "cachetools",
    "certifi",
    "click",
    "cryptography",
    "dnspython",
    "isal",
    "msgspec",
    "orjson",
    "prometheus-client",
    "pycurl",
    "rich",
    "structlog",
    "uvloop",
)


def versions() -> dict[str, str]:
    """Versions by name. Reads package metadata from disk: ask once, before serving."""
    found = {"edgeproxy": edgeproxy.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    found["openssl"] = ssl.OPENSSL_VERSION
    found["libcurl"] = pycurl.version
    return found
