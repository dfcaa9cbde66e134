"""Whom a command will have to trust: the authority under which the node it goes through answers hosts.

A node in another place, or with another configuration, has an authority of its own. It is never trusted
because the node says so: who answers at a port need not be the node. So it is compared with what the command
would trust, and said what to do before clients fail."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from edgeproxy.errors import ConfigurationError, EdgeError
from edgeproxy.proxy.welcome import BASE

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_ASK_SECONDS = 2.0
_BYTES_MAX = 64 << 10


def answers(url: str) -> bool:
    """Whether a node of ours is there."""
    return _get(f"{url.rstrip('/')}{BASE}") is not None


def check(url: str, trusted: bytes) -> str:
    """Whether clients that trust `trusted` (PEM) can go through the node at `url`; "", or what to tell them,
    which costs them the cache and nothing else. Raises EdgeError where they would fail."""
    said = _get(f"{url.rstrip('/')}{BASE}/ca.pem")
    if said is None:
        return (
            f"the node at {url} answers no host under its own name, so https goes through it unseen and is "
            "not kept; make its authority with `edgeproxy ca init` and the node's own --config and --set"
        )
    with contextlib.suppress(ValueError):  # what is no certificate is none that is trusted
        if certificates(said) <= certificates(trusted):
            return ""
    raise EdgeError(
        f"the node at {url} answers hosts under an authority that the command would not trust; get it with "
        f"`curl -o edgeproxy-ca.pem {url.rstrip('/')}{BASE}/ca.pem`, see that it is the node's own "
        "(`edgeproxy ca show` there), and say --ca edgeproxy-ca.pem"
    )


def read_certificates(file: Path) -> bytes:
    """PEM of the certificates in `file`. Raises ConfigurationError."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError("--ca", f"{file}: {error.strerror}") from None
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        return b"".join(one.public_bytes(Encoding.PEM) for one in _loaded(data))
    except ValueError:
        raise ConfigurationError("--ca", f"{file}: holds no certificate in PEM form") from None


def certificates(pem: bytes) -> frozenset[bytes]:
    """DER of each. Raises ValueError where there is none, or one that cannot be read."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return frozenset(one.public_bytes(Encoding.DER) for one in _loaded(pem))


def _loaded(pem: bytes) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates  # heavy, and not for who only wants help

    return load_pem_x509_certificates(pem)


def _get(url: str) -> bytes | None:
    """None for anything but an answer with a body."""
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with directly.open(url, timeout=_ASK_SECONDS) as answer:
            data = answer.read(_BYTES_MAX)
            return bytes(data) if answer.status == 200 else None
    except (OSError, ValueError):
        return None
