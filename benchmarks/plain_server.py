"""The least a server can do: known bytes over HTTP/1.1, HTTP/2 by prior knowledge and gRPC, on one port.

Asked by the load generator alone it shows how much the generator itself can bear (ceiling.py); behind a node
it is an origin that is no limit. `/b/SIZE/NAME` is a body of bodies.py that may be kept for a day,
`/records/COUNT/NAME` a record of records.py as JSON that may not be kept, and POST to records.METHOD the same
record by gRPC. `python -m benchmarks.plain_server` prints `plain: ready HOST:PORT`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import subprocess
import sys
from types import TracebackType
from typing import Self, cast

from benchmarks import machine
from benchmarks.plain_answer import Answer, Pieces, answer
from benchmarks.plain_http2 import PlainHttp2
from edgeproxy.serving.http2_frames import PREFACE

_HEAD_MAX = 64 << 10
_KNOWN_MAX = 4096


def http1_head(said: Answer) -> bytes:
    lines = [f"HTTP/1.1 {said.status} {'OK' if said.status == 200 else 'Not Found'}"]
    lines += [f"{name}: {value}" for name, value in said.fields] + [f"content-length: {said.size}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class Plain(asyncio.Protocol):
    """One connection: HTTP/1.1, until it begins with the preface of HTTP/2."""

    _known: dict[bytes, tuple[Pieces, bool]] = {}  # noqa: RUF012 - one for all connections

    def __init__(self, delay_seconds: float = 0.0) -> None:
        self._delay = delay_seconds
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._http2: PlainHttp2 | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if self._http2 is not None:
            self._http2.take(data)
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        if data.startswith(PREFACE[:4]):
            if len(data) < len(PREFACE):
                self._rest = data
                return
            self._http2 = PlainHttp2(transport)
            self._http2.take(data[len(PREFACE) :])
            return
        while (end := data.find(b"\r\n\r\n") + 4) > 3:
            pieces, closes = self._known.get(data[:end]) or self._learn(data[:end])
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._say, pieces, closes)
            else:
                self._say(pieces, closes)
            data = data[end:]
        self._rest = data
        if len(data) > _HEAD_MAX:
            transport.abort()

    def _say(self, pieces: Pieces, closes: bool) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.writelines(pieces)
            if closes:
                self._transport.close()

    def _learn(self, head: bytes) -> tuple[Pieces, bool]:
        target = head.split(b" ", 2)[1].decode("latin-1")
        said = answer(target)
        closes = b"\r\nconnection: close\r\n" in head.lower()
        if len(said.pieces) == 1:
            known: Pieces = [http1_head(said) + bytes(said.pieces[0])]
        else:
            known = [http1_head(said), *said.pieces]
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[head] = known, closes
        return known, closes


class PlainServer:
    """Such a server in a process of its own on `core` while the `with` block lasts. Over HTTP/1.1 it
    answers `delay_seconds` after it was asked."""

    def __init__(self, core: int | None, delay_seconds: float = 0.0) -> None:
        self._core, self._delay = core, delay_seconds
        self.address = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.plain_server", "--delay-seconds", str(self._delay)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd=machine.ROOT,
            preexec_fn=lambda: machine.pin(self._core),
        )
        assert self.process.stdout
        words = self.process.stdout.readline().split()
        if not words:
            self.__exit__(None, None, None)
            raise RuntimeError("the plain server did not start")
        self.address = words[-1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process
        self.process.kill()
        self.process.communicate()


async def _main(address: str, port: int, delay_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    make = functools.partial(Plain, delay_seconds)
    server = await loop.create_server(make, address, port, backlog=4096)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"plain: ready {host}:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="of answers over HTTP/1.1")
    parsed = parser.parse_args()
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_main(parsed.address, parsed.port, parsed.delay_seconds))


if __name__ == "__main__":
    main()
