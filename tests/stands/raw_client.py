"""A client that sends any bytes, and reads answers without mercy.

An answer is complete only if its framing proved the end; how the connection ended is told apart."""

from __future__ import annotations

import itertools
import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

Address = tuple[str, int]
# Long enough for a machine that is busy with other tests, shorter than a node's own patience.
PATIENCE_SECONDS = 25.0


class Broken(Exception):
    """What came is no HTTP/1.1 answer."""


@dataclass(slots=True)
class RawAnswer:
    """One answer. `ended` is "" while the connection is open, else "eof", "reset" or "timeout"."""

    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)  # names in lower case
    body: bytes = b""
    complete: bool = False
    ended: str = ""
    interim: list[int] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.fields if key == name), default)


class _Ended(Exception):
    pass


class RawClient:
    """One connection, over TLS if there is a `context`. Timeouts in seconds, for each wait. The end of a
    connection over TLS is "eof" only after a closing alert."""

    def __init__(
        self,
        address: Address,
        timeout: float = PATIENCE_SECONDS,
        receive_buffer: int = 0,
        context: ssl.SSLContext | None = None,
        server_name: str = "localhost",
    ) -> None:
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout)
        self._socket.connect(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._socket = context.wrap_socket(
                self._socket, server_hostname=server_name, suppress_ragged_eofs=False
            )
        self._buffer = b""
        self.ended = ""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it; a connection that the other side ends meanwhile shows when reading."""
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            pass

    def send_split(self, data: bytes, places: Sequence[int], gap: float = 0.005) -> None:
        """Send in pieces cut at `places`, with a pause so that each arrives by itself."""
        edges = [0, *places, len(data)]
        for start, end in itertools.pairwise(edges):
            self.send(data[start:end])
            time.sleep(gap)

    def is_told(self) -> bool:
        """Whether there is something to read: an answer, or the end."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def shut(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _more(self) -> None:
        try:
            data = self._socket.recv(1 << 20)
        except TimeoutError:
            self.ended = "timeout"
            raise _Ended from None
        except OSError:
            self.ended = "reset"
            raise _Ended from None
        if not data:
            self.ended = "eof"
            raise _Ended
        self._buffer += data

    def _take(self, size: int) -> bytes:
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line = self._take(self._buffer.index(b"\r\n") + 2)[:-2]
        if b"\n" in line or b"\r" in line:
            raise Broken(f"bare CR or LF in {line!r}")
        return line

    def _read_head(self, answer: RawAnswer) -> None:
        status_line = self._line()
        if re.match(rb"HTTP/1\.1 [1-5][0-9][0-9]( |$)", status_line) is None:
            raise Broken(f"status line {status_line!r}")
        answer.status = int(status_line[9:12])
        answer.fields = []
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name != name.strip():
                raise Broken(f"field line {line!r}")
            answer.fields.append((name.lower(), value.strip(" \t")))

    def _read_sized(self, answer: RawAnswer, size: int) -> None:
        pieces = [self._take(size)]
        have = len(pieces[0])
        try:
            while have < size:
                self._more()
                pieces.append(self._take(size - have))
                have += len(pieces[-1])
        finally:
            answer.body = b"".join(pieces)

    def _read_chunked(self, answer: RawAnswer) -> None:
        while True:
            line = self._line()
            if re.fullmatch(rb"[0-9a-fA-F]{1,8}(;.*)?", line) is None:
                raise Broken(f"chunk size {line!r}")
            size = int(line.partition(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                return
            while len(self._buffer) < size + 2:
                self._more()
            answer.body += self._take(size)
            if self._take(2) != b"\r\n":
                raise Broken("chunk without CRLF")

    def _read_content(self, answer: RawAnswer, method: str) -> None:
        lengths = [value for name, value in answer.fields if name == "content-length"]
        codings = [value for name, value in answer.fields if name == "transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise Broken(f"framing {lengths} {codings}")
        if method == "HEAD" or answer.status in (204, 304):
            return
        if codings:
            if codings != ["chunked"]:
                raise Broken(f"transfer coding {codings}")
            self._read_chunked(answer)
        elif lengths:
            if re.fullmatch("[0-9]{1,18}", lengths[0]) is None:
                raise Broken(f"length {lengths[0]!r}")
            self._read_sized(answer, int(lengths[0]))
        else:
            while True:
                answer.body += self._take(len(self._buffer))
                self._more()

    def read(self, method: str = "GET") -> RawAnswer:
        """The next final answer, as much of it as came. Raises Broken for what is not HTTP."""
        answer = RawAnswer()
        headed = False
        try:
            self._read_head(answer)
            while 100 <= answer.status < 200 and answer.status != 101:
                answer.interim.append(answer.status)
                self._read_head(answer)
            headed = True
            self._read_content(answer, method)
            answer.complete = True
        except _Ended:
            unframed = not answer.get("content-length") and not answer.get("transfer-encoding")
            answer.complete = headed and unframed and self.ended == "eof"
        answer.ended = self.ended
        return answer

    def read_some(self, size: int) -> bytes:
        """Up to `size` bytes as they come, b"" when there are no more."""
        if not self._buffer:
            try:
                self._more()
            except _Ended:
                return b""
        return self._take(size)

    def wait_end(self, timeout: float = PATIENCE_SECONDS) -> str:
        """Read on until the connection ends: "eof" or "reset"; "timeout" if it stays open. What
        was read meanwhile stays to be read."""
        self._socket.settimeout(0.2)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._more()
            except _Ended:
                if self.ended != "timeout" or time.monotonic() > deadline:
                    return self.ended

    @property
    def secured(self) -> ssl.SSLSocket:
        assert isinstance(self._socket, ssl.SSLSocket)
        return self._socket

    @property
    def left(self) -> bytes:
        """What came and was not read."""
        return self._buffer


def request(
    target: str, fields: Sequence[tuple[str, str]] = (), method: str = "GET", body: bytes = b""
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    if not any(name.lower() == "host" for name, _ in fields):
        lines.insert(1, "Host: cache.test")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def fetch(
    address: Address,
    target: str,
    fields: Sequence[tuple[str, str]] = (),
    method: str = "GET",
    body: bytes = b"",
    timeout: float = PATIENCE_SECONDS,
    context: ssl.SSLContext | None = None,
    server_name: str = "localhost",
) -> RawAnswer:
    """One request on a connection of its own."""
    with RawClient(address, timeout, context=context, server_name=server_name) as client:
        client.send(request(target, fields, method, body))
        return client.read(method)
