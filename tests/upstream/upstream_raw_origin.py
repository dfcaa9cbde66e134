"""A scripted raw origin: it reads request heads and writes exactly the bytes it is told."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgeproxy.config import UpstreamSection
from edgeproxy.metrics import Metrics
from edgeproxy.upstream.client import CurlUpstream
from edgeproxy.upstream.upstream import Origin, Reach, UpstreamRequest, UpstreamResponse


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition that others bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition belongs to others
            await asyncio.sleep(0.002)


async def settled(read: Callable[[], int]) -> int:
    """A growing number once it has grown and then stood still for twenty looks."""
    seen: list[int] = []

    def is_still() -> bool:
        seen.append(read())
        return seen[-1] > 0 and len(seen) > 20 and seen[-20] == seen[-1]

    await until(is_still)
    return seen[-1]


class Exchange:
    """One request as the origin sees it, and the means to answer."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def delivered(self) -> None:
        """Until the other side's kernel has everything that was written."""
        sock, unsent = self.writer.get_extra_info("socket"), bytearray(4)

        def is_empty() -> bool:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, unsent)
            return not any(unsent) and not self.writer.transport.get_write_buffer_size()

        await until(is_empty)

    async def reset(self) -> None:
        """End the connection with RST once what was written has left."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Until the other side closes."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Exchange], Awaitable[Any]]


class RawOrigin:
    """Runs `script` for each request; the connection stays open unless the script closes it."""

    def __init__(self) -> None:
        self.script: Script | None = None
        self.heads: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self.scheme = "http"
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self.scheme = "https" if tls else "http"
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                assert self.script is not None
                await self.script(Exchange(head, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()

    def says(self, data: bytes, *, then: str = "keep") -> None:
        """Answer every request with these bytes, then keep | close (FIN) | reset (RST)."""

        async def script(exchange: Exchange) -> None:
            await exchange.send(data)
            if then == "close":
                exchange.writer.close()
            elif then == "reset":
                await exchange.delivered()  # the bytes must not be overtaken by the RST
                await exchange.reset()

        self.script = script

    @property
    def origin(self) -> Origin:
        return Origin(self.scheme, "127.0.0.1", self.port)

    def request(self, method: str = "GET", target: str = "/", **fields: Any) -> UpstreamRequest:
        fields.setdefault("reach", LOCAL)
        return UpstreamRequest(method, fields.pop("origin", self.origin), target, **fields)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)


async def content(response: UpstreamResponse) -> bytes:
    pieces = [piece async for piece in response.chunks()]
    await response.aclose()
    return b"".join(pieces)


LOCAL = Reach(
    connect_timeout=20.0, head_timeout=20.0, progress_timeout=20.0, private_addresses=True, http2=False
)


@pytest.fixture
async def origin() -> AsyncIterator[RawOrigin]:
    raw = RawOrigin()
    await raw.start()
    yield raw
    await raw.stop()


class Loopback:
    """A resolver for which every host is this machine, unless told otherwise."""

    def __init__(self) -> None:
        self.addresses = {}

    async def resolve(self, host: str) -> Any:
        return self.addresses.get(host, (ip_address("127.0.0.1"),))


@pytest.fixture
def names() -> Loopback:
    return Loopback()


@pytest.fixture
async def client(names: Loopback) -> AsyncIterator[CurlUpstream]:
    upstream = CurlUpstream(UpstreamSection(), names, metrics=Metrics())
    yield upstream
    await upstream.aclose()


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Path, ssl.SSLContext]]:
    """A self-signed certificate for localhost and a server context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "cert.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    yield path, context
    gc.collect()
