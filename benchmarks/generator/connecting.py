"""How a plan's connections are opened, and what is asked over them: the protocols by name."""

from __future__ import annotations

import asyncio
import functools
import itertools
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from benchmarks.generator import grpc, http1, http2
from benchmarks.generator.exchange import Connection, Owner, Wanted
from benchmarks.generator.plan import Plan


class Connector:
    """`wanted` is each target of the plan as it is asked for, in the order of the plan."""

    def __init__(self, plan: Plan, owner: Owner) -> None:
        self._plan = plan
        self._make, self.wanted = _protocol(plan, owner)
        self._address = urlsplit(plan.url)
        self._secure = _tls(plan) if self._address.scheme == "https" else None
        self._sources = itertools.cycle(range(1, plan.client_addresses + 1))

    async def connect(self) -> Connection | str:
        """A new connection, which the owner has been told of, or why there is none."""
        address = self._address
        port = address.port or (443 if self._secure else 80)
        source = (f"127.0.9.{next(self._sources)}", 0) if self._plan.client_addresses > 1 else None
        opening = asyncio.get_running_loop().create_connection(
            self._make, address.hostname or "", port, ssl=self._secure, local_addr=source
        )
        try:
            async with asyncio.timeout(self._plan.timeout_seconds):
                _, connection = await opening
        except (OSError, TimeoutError) as error:
            return f"no connection: {type(error).__name__}"
        return cast(Connection, connection)


def _tls(plan: Plan) -> ssl.SSLContext:
    """Without a look at the certificate: what is measured is a server of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1" if plan.protocol == "http/1.1" else "h2"])
    return context


def _protocol(plan: Plan, owner: Owner) -> tuple[Callable[[], asyncio.BaseProtocol], list[Wanted]]:
    """How a connection is made, and each target as it is asked for over it."""
    fields, buffer = tuple(plan.fields), bytearray(http1.BUFFER_BYTES)
    make: Callable[[], asyncio.BaseProtocol]
    if plan.protocol == "http/1.1":
        make = functools.partial(http1.Http1Connection, owner, buffer, plan.status)
        wanted = functools.partial(http1.wanted, plan.url, fields=fields)
    else:
        make = functools.partial(http2.Http2Connection, owner, buffer, plan)
        is_grpc = plan.protocol == "grpc"
        wanted = functools.partial(grpc.wanted if is_grpc else http2.wanted, plan.url, fields=fields)
    known = {target: wanted(target) for target in dict.fromkeys(plan.targets)}
    return make, [known[target] for target in plan.targets]
