"""HAProxy with its in-memory cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.peer import Server, free_port, program, spawn, wait_until_open

_CONFIGURATION = """\
global
  nbthread 1
  maxconn 4096
  tune.bufsize {buffer_bytes}
defaults
  mode http
  option http-keep-alive
  timeout connect 5s
  timeout client 300s
  timeout server {patience}s
  timeout http-keep-alive 300s
cache hits
  total-max-size {megabytes}
  max-object-size {object_bytes}
  max-age 86400
frontend clients
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{http2_port} proto h2
  http-request cache-use hits
  http-response cache-store hits
  default_backend origin
backend origin
  http-reuse always
  server origin {origin}
"""


@dataclass(frozen=True, slots=True)
class Haproxy:
    """`megabytes` of memory are taken at the start; a body may have half of them. `buffer_bytes` is the
    default, which its manual advises to keep; bodies of 1 MiB and more gain from more, small ones lose."""

    megabytes: int = 512
    patience_seconds: int = 60
    buffer_bytes: int = 16 << 10
    name: str = "haproxy"

    @property
    def method(self) -> str:
        return (
            f"{self.name}: cache in RAM ({self.megabytes} MB, all taken at the start), one thread; it "
            "is meant for small objects, has no store on disk and does not collapse requests"
        )

    def refuses(self, size: int) -> str:
        if size > self._object_bytes:
            return f"its cache of {self.megabytes} MB in RAM takes bodies of half its size at most"
        return ""

    @property
    def _object_bytes(self) -> int:
        # Above 2^31 - 1 the option is refused; the documented bound is half of the cache.
        return min(self.megabytes * 500_000, (1 << 31) - 1)

    def start(self, directory: Path, origin: str) -> Server:
        executable = program("haproxy")
        port, http2_port = free_port(), free_port()
        directory.mkdir(parents=True, exist_ok=True)
        file, log = directory / "haproxy.cfg", directory / "log"
        file.write_text(
            _CONFIGURATION.format(
                megabytes=self.megabytes,
                object_bytes=self._object_bytes,
                port=port,
                http2_port=http2_port,
                origin=urlsplit(origin).netloc,
                patience=self.patience_seconds,
                buffer_bytes=self.buffer_bytes,
            )
        )
        process = spawn([executable, "-db", "-f", str(file)], log)
        server = Server(self.name, f"http://127.0.0.1:{port}", process)
        server.http2_url = f"http://127.0.0.1:{http2_port}"
        return wait_until_open(server, log)
