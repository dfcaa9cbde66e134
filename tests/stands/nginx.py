"""nginx as somebody else's cache: a parent that knows nothing of us."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from stands.ports import reserve

_CONFIGURATION = """\
{user}daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log {place}/access.log;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  proxy_cache_path {place}/cache keys_zone=all:8m;
  keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{cache};
    if ($http_host = "127.0.0.1:{cache}") {{ return 204; }}  # a probe; passed on it would come back
    location / {{
      proxy_pass http://$http_host$request_uri; proxy_set_header Host $http_host;
      proxy_cache all; proxy_cache_lock on; add_header X-Cache $upstream_cache_status;
    }}
  }}
  server {{ listen 127.0.0.1:{files} http2; root {place}/files; }}
}}
"""


class Nginx:
    """Two servers: `url` is a cache for whatever Host names; `h2_url` serves `files` over HTTP/2 without TLS
    and over nothing else. Skips the test where nginx is not installed."""

    def __init__(self, place: Path) -> None:
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("nginx is not installed")
        (place / "files").mkdir(parents=True)
        self.files = place / "files"
        self._place = place
        self.port, self.h2_port = reserve(), reserve()
        self.url, self.h2_url = (f"http://127.0.0.1:{port}" for port in (self.port, self.h2_port))
        configuration = place / "nginx.conf"
        user = "user root;\n" if os.geteuid() == 0 else ""  # folders of tests are their owner's alone
        text = _CONFIGURATION.format(user=user, place=place, cache=self.port, files=self.h2_port)
        configuration.write_text(text)
        self._command = [program, "-c", str(configuration), "-p", str(place)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self._place / "stderr", "ab") as errors:
            self._process = subprocess.Popen(self._command, stderr=errors, start_new_session=True)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError((self._place / "stderr").read_text()) from None
                time.sleep(0.02)

    def kill(self) -> None:
        """Master and worker, at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def requests(self) -> list[str]:
        """Lines of its access log."""
        return (self._place / "access.log").read_text().splitlines()
