"""nginx with proxy_cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.peer import Server, free_port, program, spawn, wait_until_open

# The temporary paths are named because the packaged defaults may belong to another account. The lock times
# are long so that collapsed forwarding holds for a slow origin; open_file_cache spares an open for each hit.
# Buffers of 64 KiB make fills of large bodies half as fast again as those of one page do.
# tcp_nopush stays off: with it, answers of about one loopback segment (64 KiB) wait 40 ms for a delayed
# acknowledgement, a twentieth of the rate without it.
_CONFIGURATION = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log stderr warn;
{account}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush off;
  tcp_nodelay on;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
{open_files}  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/temporary;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  proxy_cache_path {directory}/cache levels=1:2 keys_zone=hits:64m inactive=1d max_size=20g use_temp_path=off;
  upstream origin {{ server {origin}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{http2_port} http2 backlog=4096;
{tls}    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache hits;
      proxy_buffer_size 64k;
      proxy_buffers 16 64k;
      proxy_busy_buffers_size 128k;
{slices}      proxy_read_timeout {patience}s;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 60s;
      proxy_cache_lock_age 60s;
    }}
  }}
}}
"""


# Protocols and ciphers as the node has them; sessions are taken up by ticket, as there.
_TLS = """\
    listen 127.0.0.1:{secure_port} ssl http2 backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_prefer_server_ciphers on;
"""
_OPEN_FILES = """\
  open_file_cache max=10000 inactive=300s;
  open_file_cache_valid 300s;
"""
# As the manual of the slice module has it: the slice is a part of the key, and 206 is stored.
_SLICES = """\
      slice {size};
      proxy_cache_key $uri$is_args$args$slice_range;
      proxy_set_header Range $slice_range;
      proxy_cache_valid 200 206 1h;
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """Tuned by `open_file_cache`, which is off unless one asks for it. `slice_size` ("1m", "4m") turns the
    slice module on."""

    name: str = "nginx"
    method: str = (
        "nginx: proxy_cache on disk (page cache), one worker, sendfile, open_file_cache, "
        "proxy_buffers of 64 KiB, proxy_cache_lock"
    )
    open_files: str = _OPEN_FILES
    slice_size: str = ""
    patience_seconds: int = 60
    certificate: str = ""

    def refuses(self, size: int) -> str:
        return ""

    def start(self, directory: Path, origin: str) -> Server:
        executable = program("nginx")
        port, http2_port, secure_port = free_port(), free_port(), free_port()
        tls = _TLS.format(secure_port=secure_port, certificate=self.certificate)
        directory.mkdir(parents=True, exist_ok=True)
        file, log = directory / "nginx.conf", directory / "log"
        file.write_text(
            _CONFIGURATION.format(
                directory=directory,
                open_files=self.open_files,
                slices=_SLICES.format(size=self.slice_size) if self.slice_size else "",
                origin=urlsplit(origin).netloc,
                port=port,
                http2_port=http2_port,
                tls=tls if self.certificate else "",
                patience=self.patience_seconds,
                account="user root;" if os.geteuid() == 0 else "",
            )
        )
        process = spawn([executable, "-p", str(directory), "-c", str(file)], log)
        server = Server(self.name, f"http://127.0.0.1:{port}", process)
        server.http2_url = f"http://127.0.0.1:{http2_port}"
        server.secure_url = f"https://127.0.0.1:{secure_port}" if self.certificate else ""
        return wait_until_open(server, log)


def nginx_with_slices(name: str, size: str) -> Nginx:
    """nginx with proxy_cache and the slice module."""
    return Nginx(
        name,
        f"{name}: nginx with the slice module (slice {size}, each slice stored by itself)",
        slice_size=size,
    )
