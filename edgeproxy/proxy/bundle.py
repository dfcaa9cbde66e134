"""Whom clients of the proxy trust, in one file: the public roots of this machine and the authority of the
node, here with its former ones. Most variables replace what a client trusts, so one without the public roots
would break everything that is passed on unseen."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edgeproxy.errors import ConfigurationError
from edgeproxy.proxy.authority import trusted
from edgeproxy.upstream.trust import ca_bundle

NAME = "bundle.pem"


def bundle(authorities: bytes) -> bytes:
    """PEM of the public roots and of `authorities`. Blocks. Raises ConfigurationError where the roots cannot
    be read."""
    roots = Path(ca_bundle(""))
    try:
        data = roots.read_bytes()
    except OSError as error:
        raise ConfigurationError("", f"{roots}: {error.strerror}") from None
    return data.rstrip(b"\n") + b"\n" + authorities


def write_bundle(directory: Path, elsewhere: bytes = b"") -> Path:
    """Bring the bundle beside the authority up to date, and tell where it is; a file of its own for the
    authority (PEM) of a node that is `elsewhere`. Blocks. Raises ConfigurationError."""
    name = f"bundle-{hashlib.sha256(elsewhere).hexdigest()[:12]}.pem" if elsewhere else NAME
    place, data = directory / name, bundle(elsewhere or trusted(directory))
    try:
        if place.exists() and place.read_bytes() == data:
            return place
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = directory / f"{name}.{os.getpid()}"
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.replace(place)
    except OSError as error:
        raise ConfigurationError("proxy.ca", f"{place}: cannot be written: {error.strerror}") from None
    return place
