"""What every server under test can do, and how its process is started, watched and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from benchmarks import machine


class Absent(Exception):
    """The server cannot take part; the message is the reason."""


class Peer(Protocol):
    """`method` says in a sentence how the server is configured. `start` returns when it answers and raises
    Absent when it is not installed or does not come up; `directory` is its own and empty, or was its own
    before. `refuses` is the reason why a body of `size` cannot be a hit here, "" if it can."""

    @property
    def name(self) -> str: ...

    @property
    def method(self) -> str: ...

    def refuses(self, size: int) -> str: ...

    def start(self, directory: Path, origin: str) -> Server: ...


def adjusted(peer: Peer, **settings: object) -> Peer:
    """The same peer with those of `settings` that it has."""
    of_peer: Any = peer
    known = {setting.name for setting in fields(of_peer)}
    changed: Peer = replace(of_peer, **{name: value for name, value in settings.items() if name in known})
    return changed


@dataclass
class Server:
    """A running server. `process` is None for one that is not ours to stop. `http2_url` takes HTTP/2 by
    prior knowledge, "" for a server that has no such address. `begun` is when its process was started, by
    `time.perf_counter`."""

    name: str
    url: str
    process: subprocess.Popen[bytes] | None
    admin_url: str = ""
    http2_url: str = ""
    secure_url: str = ""
    begun: float = field(default_factory=time.perf_counter)

    def _pids(self) -> list[int]:
        """Our process and its children (nginx: master, worker and cache manager)."""
        if self.process is None:
            return []
        pids = [self.process.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                pids.extend(int(child) for child in task.read_text().split())
        return pids

    def cpu_seconds(self) -> float:
        """User and system time so far, of all its processes."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, key: str = "VmRSS") -> int:
        """Resident memory of all its processes; "VmHWM" for the most it ever was."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{key}:"):
                    total += int(line.split()[1]) << 10
        return total

    def stop(self, signal_number: int = signal.SIGTERM, seconds: float = 10.0) -> int | None:
        """End our own process by its id, by force after `seconds`. Its exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal_number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self.process.stdout:
                self.process.stdout.close()

    def kill(self) -> None:
        """End all of its processes at once and by force, as a machine that runs out of memory might; those
        of a master do not outlive it. They are gone when this returns, or ten seconds have passed."""
        if self.process is None:
            return
        pids = self._pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop(signal.SIGKILL)
        end = time.monotonic() + 10
        while any(map(_is_running, pids)) and time.monotonic() < end:
            time.sleep(0.005)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def program(name: str) -> str:
    """The full path of an installed program. Raises Absent."""
    if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin"):
        return found
    raise Absent(f"{name} is not installed")


def free_port() -> int:
    """A port the kernel has just called free, for servers that cannot be told to take any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spawn(argv: list[str], log: Path, *, pipe: bool = False) -> subprocess.Popen[bytes]:
    """Start a server on the servers' core; what it says goes to `log`. Its environment is ours without what
    configures the node, which also refuses variables of ours that begin like its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEPROXY_")}
    with log.open("ab") as stderr:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else stderr,
            stderr=stderr,
            cwd=machine.ROOT,
            env=environment,
            preexec_fn=lambda: machine.pin(machine.server_core()),
        )


def wait_until_open(server: Server, log: Path, seconds: float = 20.0) -> Server:
    """Return `server` once it accepts connections. Raises Absent with the end of its log if it does not."""
    address = urlsplit(server.url)
    assert server.process
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        try:
            socket.create_connection((address.hostname or "", address.port or 0), timeout=1).close()
            return server
        except OSError:
            time.sleep(0.004)
    server.stop(signal.SIGKILL)
    raise Absent(f"{server.name} did not start: {tail(log)}")


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][-200:] if lines else "no message"
