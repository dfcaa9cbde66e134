"""A plain blocking client that proves every byte it gets, for checks and for latencies.

`python -m benchmarks.client URL [COUNTS_URL]` waits for a line of seconds on standard input, sleeps
that long, asks once and prints the answer as JSON; with COUNTS_URL, that of an origin's counts, also the body
bytes the origin had sent when it asked."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmarks import bodies


class WrongBytes(Exception):
    """A server gave an answer that is not the body asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds are from before the request was sent."""

    status: int
    cache_status: str
    body_bytes: int
    first_byte_seconds: float
    seconds: float


class Client:
    """One keep-alive connection."""

    def __init__(self, url: str, timeout_seconds: float = 60.0) -> None:
        host = urlsplit(url)
        assert host.hostname
        self._connection = http.client.HTTPConnection(host.hostname, host.port, timeout=timeout_seconds)
        self._buffer = bytearray(1 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, target: str, *, check: bool = True) -> Answer:
        """Raises WrongBytes for a status other than 200, a body cut short or (if `check`) a wrong byte;
        OSError when there is no answer."""
        try:
            return self._get(target, check)
        except http.client.HTTPException as error:
            raise WrongBytes(f"{target}: {error!r}") from error

    def _get(self, target: str, check: bool) -> Answer:
        begun = time.perf_counter()
        self._connection.request("GET", target)
        response = self._connection.getresponse()
        first = response.read1(256 << 10)
        first_byte = time.perf_counter() - begun
        if response.status != 200:
            raise WrongBytes(f"{target}: status {response.status}")
        received = len(first)
        if check and not bodies.matches(target, 0, first):
            raise WrongBytes(f"{target}: wrong bytes at the start")
        view = memoryview(self._buffer)[: bodies.PERIOD]
        while count := response.readinto(view):
            if check and not bodies.matches(target, received, view[:count]):
                raise WrongBytes(f"{target}: wrong bytes from {received}")
            received += count
        seconds = time.perf_counter() - begun
        if received != bodies.size_of(target):
            raise WrongBytes(f"{target}: {received} bytes")
        said = response.headers.get("Cache-Status", "")
        return Answer(response.status, said, received, first_byte, seconds)


def main() -> None:
    url = urlsplit(sys.argv[1])
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())
    time.sleep(seconds)
    joined: dict[str, int] = {}
    if len(sys.argv) > 2:
        with urllib.request.urlopen(sys.argv[2], timeout=30) as counts:
            joined["origin_bytes"] = json.load(counts)["body_bytes"]
    with Client(f"http://{url.netloc}") as client:
        answer = client.get(url.path + (f"?{url.query}" if url.query else ""))
    print(json.dumps(asdict(answer) | joined), flush=True)


if __name__ == "__main__":
    main()
