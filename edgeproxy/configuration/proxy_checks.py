"""Whether what a configuration says of the forward proxy makes sense."""

from __future__ import annotations

import re

from edgeproxy.config_proxy import Proxy
from edgeproxy.errors import ConfigurationError

_HOST = re.compile(r"(?:\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:.]+)", re.ASCII)
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)


def check_proxy(proxy: Proxy) -> None:
    """Raises ConfigurationError."""
    for port in proxy.ports:
        if not 1 <= port <= 65535:
            raise ConfigurationError("proxy.ports", f"{port} is no port")
    for key, hosts in (("hosts", proxy.hosts), ("refused_hosts", proxy.refused_hosts)):
        for host in hosts:
            if _HOST.fullmatch(host) is None:
                raise ConfigurationError(f"proxy.{key}", f'{host!r} is not a lower-case host, "*.x" or "*"')
    for number, user in enumerate(proxy.users, 1):
        if ":" not in user or user.startswith(":"):
            raise ConfigurationError("proxy.users", f'entry {number} is not "name:password"')
    for number, token in enumerate(proxy.tokens, 1):
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError("proxy.tokens", f"entry {number} is not printable ASCII without spaces")
    for name in proxy.ca_names:
        if _NAME.fullmatch(name) is None:
            raise ConfigurationError("proxy.ca_names", f"{name!r} is not a lower-case host name")
