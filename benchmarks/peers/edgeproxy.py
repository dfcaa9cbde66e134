"""The node of this checkout."""

from __future__ import annotations

import compileall
import json
import re
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.peers.peer import Absent, Server, spawn, tail

_CONFIGURATION = """\
[listen]
http = ["127.0.0.1:0"]
{tls}
[admin]
listen = "127.0.0.1:0"

[cache]
directory = "{directory}/cache"
disk = "{disk}"
memory = "{memory}"
{cache}

[node]
workers = {workers}

[log]
access = "off"
level = "warning"

{upstream}[[site]]
name = "bench"
kind = "generic"
mount = "/"
origin = "{origin}"
{hosts}{sites}{more}"""
_PATIENCE = """\
[upstream]
head_timeout = {patience}
progress_timeout = {patience}

"""
_TLS = """\
https = ["127.0.0.1:0"]

[tls]
certificate = "{certificate}"
"""
_PYTHON_INDEX = """\

[[site]]
name = "index"
kind = "python-index"
mount = "/index"
index = "{origin}/simple/"
"""
_START = "from edgeproxy.cli.main import main; main()"
_READY = re.compile(rb"^edgeproxy: ready http=([^ \r\n]+)(?: admin=([^ \r\n]+))?(?: https=([^ \r\n]+))?")


@dataclass(frozen=True, slots=True)
class Edgeproxy:
    memory: str = "256MiB"
    disk: str = "20GiB"
    patience_seconds: int = 0
    """Between two pieces of a body; 0 for the default."""
    python_index: bool = False
    """Serve the origin's Python index at /index too."""
    certificate: str = ""
    """Serve over TLS too, with the certificate and key in this file."""
    hosts: tuple[str, ...] = ()
    """Names of the origin under which nodes below ask this one."""
    cache: str = ""
    """Further options of [cache], as TOML."""
    more: str = ""
    """Further sections of the configuration, as TOML."""
    workers: int = 1
    name: str = "edgeproxy"

    @property
    def method(self) -> str:
        workers = "one worker" if self.workers == 1 else f"{self.workers} workers"
        return (
            f"edgeproxy: default configuration, {workers}, {self.memory} RAM tier, disk in the page cache, "
            "bytecode compiled"
        )

    def refuses(self, size: int) -> str:
        return ""

    def start(self, directory: Path, origin: str) -> Server:
        directory.mkdir(parents=True, exist_ok=True)
        file, log = directory / "edge.toml", directory / "log"
        file.write_text(
            _CONFIGURATION.format(
                directory=directory,
                disk=self.disk,
                memory=self.memory,
                cache=self.cache,
                workers=self.workers,
                origin=origin,
                tls=_TLS.format(certificate=self.certificate) if self.certificate else "",
                upstream=_PATIENCE.format(patience=self.patience_seconds) if self.patience_seconds else "",
                hosts=f"hosts = {json.dumps(self.hosts)}\n" if self.hosts else "",
                more=self.more,
                sites=_PYTHON_INDEX.format(origin=origin) if self.python_index else "",
            )
        )
        # As pip compiles what it installs: an environment may forbid the node to keep what it compiles.
        compileall.compile_dir(machine.ROOT / "edgeproxy", quiet=2)
        begun = time.perf_counter()
        process = spawn([sys.executable, "-c", _START, "serve", "--config", str(file)], log, pipe=True)
        assert process.stdout
        end = time.monotonic() + 20
        line = b""
        while time.monotonic() < end and not line.endswith(b"\n"):
            if select.select([process.stdout], [], [], 0.1)[0]:
                if not (data := process.stdout.read1(4096)):  # type: ignore[attr-defined]
                    break
                line += data
        if not (match := _READY.match(line)):
            Server(self.name, "", process).stop(signal.SIGKILL)
            raise Absent(f"edgeproxy did not start: {tail(log)}")
        admin = f"http://{match[2].decode()}" if match[2] else ""
        url = f"http://{match[1].decode()}"
        secure = f"https://{match[3].decode()}" if match[3] else ""
        return Server(self.name, url, process, admin, url, secure, begun)
