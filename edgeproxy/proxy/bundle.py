"""Whom clients of the proxy trust, in one file: the public roots of this machine, the local authority and its
former ones. Most variables replace what a client trusts, so one without the public roots would break
everything that is passed on unseen."""

from __future__ import annotations

import os
from pathlib import Path

from edgeproxy.errors import ConfigurationError
from edgeproxy.proxy.authority import trusted
from edgeproxy.upstream.trust import ca_bundle

NAME = "bundle.pem"


def bundle(directory: Path) -> bytes:
    """PEM. Blocks. Raises ConfigurationError where the public roots cannot be read."""
    roots = Path(ca_bundle(""))
    try:
        data = roots.read_bytes()
    except OSError as error:
        raise ConfigurationError("", f"{roots}: {error.strerror}") from None
    return data.rstrip(b"\n") + b"\n" + trusted(directory)


def write_bundle(directory: Path) -> Path:
    """Bring the bundle beside the authority up to date, and tell where it is. Blocks. Raises
    ConfigurationError."""
    place, data = directory / NAME, bundle(directory)
    try:
        if place.exists() and place.read_bytes() == data:
            return place
        temporary = directory / f"{NAME}.{os.getpid()}"
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.replace(place)
    except OSError as error:
        raise ConfigurationError("proxy.ca", f"{place}: cannot be written: {error.strerror}") from None
    return place
