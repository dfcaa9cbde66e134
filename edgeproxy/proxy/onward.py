"""CONNECT asked of the proxy through which this node leaves its network (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import asyncio
import base64
import re
import socket

from edgeproxy.address import Address
from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.serving.first_bytes import look_at_head
from edgeproxy.upstream.egress import EgressProxy

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


async def ask_proxy(connected: socket.socket, proxy: EgressProxy, host: str, port: int) -> None:
    """Turn a connection to `proxy` into one to `host`. Raises UpstreamError: what the proxy does instead."""
    place = str(Address(host, port))
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.user:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(proxy.user.encode()).decode()}")
    question = "\r\n".join((*lines, "", "")).encode("ascii")
    try:
        await asyncio.get_running_loop().sock_sendall(connected, question)
        head = await look_at_head(connected)
    except OSError as error:
        raise _refused(place, proxy, "ends the connection") from error
    status = _STATUS.match(head)
    if status is None or not head.endswith(b"\r\n\r\n"):
        raise _refused(place, proxy, "does not speak HTTP/1.1")
    if not status[1].startswith(b"2"):
        raise _refused(place, proxy, f"answers {status[1].decode()}")
    connected.recv(len(head))


def _refused(place: str, proxy: EgressProxy, what: str) -> UpstreamError:
    line = f"{place}: the proxy {proxy.authority} {what} (upstream.proxy)"
    return UpstreamError(ProxyError.CONNECTION_REFUSED, line, sent=False)
