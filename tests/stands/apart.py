"""A stand-in index and hub in a process of their own, so that they can be killed and stopped like any other.

    apart = Apart(size=5_000_000, rate=4e5)
    apart.start(); apart.kill(); apart.start(); apart.stop(); apart.go_on(); apart.hurry(); apart.end()

They come back at the addresses they had. The index has the project `heavy`, the hub the model `acme/large`,
each with one file of about `size` bytes. Answers bring `rate` bytes a second each, until they are told to
hurry: what is to happen in the middle of a body does, however slow the machine is, and then nobody waits."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from stands import wire
from stands.hub import Hub
from stands.hub_content import Pattern
from stands.index import Index
from stands.node import environment
from stands.wheels import wheel

READY_SECONDS = 30
PIECE_BYTES = 16 << 10
PROJECT, MODEL, FILE = "heavy", "acme/large", "big.bin"


class Apart:
    """Call `end` when it is done with, whatever has been done to it."""

    def __init__(self, size: int, rate: float) -> None:
        self._order: dict[str, Any] = {"size": size, "rate": rate, "ports": []}
        self._process: subprocess.Popen[bytes] | None = None
        self.index = self.index_files = self.hub = ""  # URLs

    def start(self) -> None:
        """Start it, if it does not run, and wait until it answers; slowly again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR2)
            return
        variables = environment()
        tests = Path(__file__).parents[1]
        variables["PYTHONPATH"] = f"{tests}:{variables['PYTHONPATH']}"
        command = [sys.executable, "-m", "stands.apart", json.dumps(self._order)]
        self._process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], READY_SECONDS)[0], "it does not get ready"
        said = json.loads(self._process.stdout.readline())
        self._order["ports"] = said["ports"]
        self.index, self.index_files, self.hub = said["urls"]

    def hurry(self) -> None:
        """Send as fast as can be from now on, also what has begun."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """SIGKILL, at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def stop(self) -> None:
        """SIGSTOP: connections are still accepted, and nothing more comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.kill()


class _Paced(wire.Wire):
    """What is no head or page comes slowly, while there is a `rate`."""

    rate = 0.0

    async def send(self, data: bytes) -> None:
        if len(data) <= PIECE_BYTES:
            await super().send(data)
            return
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            await super().send(piece)
            if _Paced.rate:
                await asyncio.sleep(len(piece) / _Paced.rate)


def main() -> None:
    order = json.loads(sys.argv[1])

    def pace(number: int, _: object) -> None:
        _Paced.rate = order["rate"] if number == signal.SIGUSR2 else 0.0

    signal.signal(signal.SIGUSR1, pace)
    signal.signal(signal.SIGUSR2, pace)
    pace(signal.SIGUSR2, None)
    wire.Wire = _Paced  # type: ignore[misc]
    index = Index([wheel(PROJECT, "1.0", data_bytes=order["size"])])
    hub = Hub()
    hub.add(MODEL, {FILE: Pattern(FILE, order["size"]), "config.json": b"{}"})
    servers = [index.pages_server, index.files_server, *hub.servers.values()]
    for server, port in zip(servers, order["ports"], strict=False):
        server.close()
        server.port = port
        server.open()
    urls = [index.url, index.files_url, hub.url]
    print(json.dumps({"urls": urls, "ports": [server.port for server in servers]}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
