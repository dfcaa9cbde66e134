"""A real node as a subprocess."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stands.node_forks import PROGRAM, Child, node_forks
from stands.ports import reserve
from stands.raw_client import PATIENCE_SECONDS, Address, RawAnswer, RawClient, fetch

__all__ = ["PROGRAM"]

CHECKOUT = Path(__file__).parents[2]
READY = re.compile(
    r"^edgeproxy: ready http=(\S+) admin=(\S+)(?: https=(\S+))?(?: proxy=(\S+))?(?: dns=(\S+))?$",
    re.MULTILINE,
)
READY_SECONDS = 60.0  # generous: the machine is busy with other tests
Table = Mapping[str, Any]


def _toml_value(value: Any) -> str:
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value)  # JSON's strings, numbers, truth values and arrays are TOML's as well


def toml(sections: Mapping[str, Table | Sequence[Table]]) -> str:
    """TOML text of tables; a list of tables becomes an array of tables."""
    lines: list[str] = []
    for name, section in sections.items():
        tables = [section] if isinstance(section, Mapping) else section
        for table in tables:
            lines.append(f"[{name}]" if isinstance(section, Mapping) else f"[[{name}]]")
            lines.extend(f"{key} = {_toml_value(value)}" for key, value in table.items())
    return "\n".join(lines) + "\n"


def environment() -> dict[str, str]:
    """This process's environment without anything that configures a node or a client."""
    unwanted = ("EDGEPROXY_", "PIP_", "PYTEST_", "UV_")
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and k.lower() not in proxies}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles everything anew
    kept["PYTHONPATH"] = str(CHECKOUT)
    return kept


# What all but a few tests have. What is loaded for nodes may have read it, so that others cannot use that.
_ENVIRONMENT = environment()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


class Adopted:
    """A process that is not our child, with what is used of Popen. How it ended cannot be known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return 0
        return 0 if state == "Z" else None

    def wait(self, timeout: float = 10.0) -> int:
        if not eventually(lambda: self.poll() is not None, timeout):
            raise subprocess.TimeoutExpired("adopted", timeout)
        return 0

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class NodeFailed(AssertionError):
    """The process did not do what a node promises; the text holds its standard error."""


class Node:
    """`sections` are merged over settings fit for tests: ports of the kernel's choice, a store under
    `directory`, an access log in JSON. `arguments` go to `edgeproxy serve`, or another
    `command`. `is_loaded_anew` has
    the program loaded from its files, as its users do, where otherwise a process is forked that has it."""

    is_loaded_anew = False

    def __init__(
        self,
        directory: Path,
        sites: Sequence[Table],
        sections: Mapping[str, Table | Sequence[Table]] | None = None,
        arguments: Sequence[str] = (),
        command: str = "serve",
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.cache = directory / "cache"
        self.access_file = directory / "access.log"
        self._output = directory / "stdout"
        self._errors = directory / "stderr"
        self.arguments = list(arguments)
        self.sections: dict[str, Any] = {
            "listen": {"http": ["127.0.0.1:0"]},
            "admin": {"listen": "127.0.0.1:0"},
            "cache": {"directory": self.cache, "disk": "2GiB", "memory": "64MiB", "free_space": "0"},
            "log": {"access": "json", "access_file": self.access_file},
        }
        for name, table in (sections or {}).items():
            several = not isinstance(table, Mapping)  # an array of tables
            self.sections[name] = table if several else {**self.sections.get(name, {}), **table}
        self.sections["site"] = list(sites)
        self.command = command
        self.process: subprocess.Popen[bytes] | Child | Adopted | None = None
        self._readies = 1
        self.http: Address = ("", 0)
        self.https: Address = ("", 0)
        self.admin: Address = ("", 0)
        self.proxy: Address = ("", 0)
        self.dns: Address = ("", 0)
        self._reported = 0

    # Life.

    def spawn(self) -> subprocess.Popen[bytes] | Child:
        """Start the process without waiting for it to be ready."""
        config = self.directory / "edge.toml"
        config.write_text(toml(self.sections))
        arguments = [self.command, "--config", str(config), *self.arguments]
        self._readies = 1
        variables = environment()
        forks = None if self.is_loaded_anew or variables != _ENVIRONMENT else node_forks(variables)
        if forks is not None:
            self._output.write_bytes(b"")
            self.process = child = forks.run(arguments, self.directory, self._output, self._errors)
            return child
        with open(self._output, "wb") as output, open(self._errors, "ab") as errors:
            self.process = process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments],
                stdout=output,
                stderr=errors,
                cwd=self.directory,
                env=variables,
            )
        return process

    def start(self) -> float:
        """Start and wait until ready; gives the seconds that took."""
        self.spawn()
        return self.await_ready()

    def await_ready(self) -> float:
        """Wait until the process that was spawned is ready."""
        began = time.monotonic()
        process = self.process
        assert process is not None
        assert not isinstance(process, Adopted)
        while (found := READY.search(self._output.read_text())) is None:
            if process.poll() is not None:
                raise NodeFailed(f"exit {process.returncode} before ready:\n{self.stderr[-4000:]}")
            if time.monotonic() - began > READY_SECONDS:
                process.kill()
                raise NodeFailed(f"not ready after {READY_SECONDS} s:\n{self.stderr[-4000:]}")
            time.sleep(0.01)
        self.http = _address(found[1].partition(",")[0]) if found[1] != "-" else ("", 0)
        self.admin = _address(found[2])
        self.https = _address(found[3]) if found[3] else ("", 0)
        self.proxy = _address(found[4].partition(",")[0]) if found[4] else ("", 0)
        self.dns = _address(found[5].partition(",")[0]) if found[5] else ("", 0)
        return time.monotonic() - began

    def stop(self, within: float = 40.0) -> None:
        """SIGTERM; must end with status 0 and without a traceback on standard error."""
        process = self.process
        if process is None:
            return
        self._end_heirs()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise NodeFailed(f"still there {within} s after SIGTERM:\n{self.stderr[-4000:]}") from None
        self.process = None
        if status != 0:
            raise NodeFailed(f"exit {status} after SIGTERM:\n{self.stderr[-4000:]}")
        self.check()

    def _end_heirs(self) -> None:
        """Processes that took over from this one in a test that failed before it knew them."""
        for number in re.findall(r'"pid": ([0-9]+)', self.stderr):
            place = Path("/proc") / number / "cmdline"
            if int(number) != self.pid and place.exists() and str(self.directory) in place.read_text():
                os.kill(int(number), signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL, at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def reload(self, sections: Mapping[str, Any] | None = None, **answer: Any) -> dict[str, Any]:
        """Change the configuration, and have it taken over; what the control plane says."""
        for name, table in (sections or {}).items():
            several = not isinstance(table, Mapping)
            changed = table if several else {**self.sections.get(name, {}), **table}
            self.sections[name] = changed
        self.write(toml(self.sections))
        return dict(json.loads(self.ask_admin("/api/v1/reload", "POST", answer)))

    def write(self, text: str) -> None:
        """Let another configuration file appear, whole."""
        new = self.directory / "edge.toml.new"
        new.write_text(text)
        new.rename(self.directory / "edge.toml")

    def replaced(self) -> None:
        """The process has been told to start anew: wait until it is gone, and go on with its successor."""
        former, process = self.pid, self.process
        assert process is not None
        if not eventually(
            lambda: len(READY.findall(self._output.read_text())) > self._readies, READY_SECONDS
        ):
            raise NodeFailed(f"nothing took over from {former}:\n{self.stderr[-4000:]}")
        self._readies += 1
        status = process.wait(40)
        if status != 0:
            raise NodeFailed(f"exit {status} after another took over:\n{self.stderr[-4000:]}")
        found = re.findall(r'"pid": ([0-9]+)', self.stderr)  # told after the other said that it is ready
        self.process = Adopted(int(found[-1]))

    def restart(self) -> float:
        self.stop()
        return self.start()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def pids(self, role: str = "") -> dict[str, int]:
        """The processes of a node with several workers whose role ("filler", "server 0") begins so."""
        found: dict[str, int] = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                name = (place / "comm").read_text().strip().removeprefix("edge ")
            except (OSError, ValueError):
                continue  # it has ended meanwhile
            if parent == self.pid and name.startswith(role or ("filler", "server")):
                found[name] = int(place.name)
        return found

    # What it says.

    @property
    def stderr(self) -> str:
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def check(self) -> None:
        """Raise NodeFailed when a traceback appeared since the last check, or the process is gone."""
        text = self.stderr
        new, self._reported = text[self._reported :], len(text)
        if "Traceback" in new or "was never retrieved" in new:
            raise NodeFailed(f"traceback on standard error:\n{new[-6000:]}")
        if self.process is not None and self.process.poll() is not None:
            raise NodeFailed(f"the node ended by itself with {self.process.returncode}:\n{new[-4000:]}")

    def access_log(self) -> list[dict[str, Any]]:
        """Lines of the access log that are whole."""
        lines = self.access_file.read_text().split("\n")[:-1] if self.access_file.exists() else []
        return [json.loads(line) for line in lines]

    # What it is asked.

    def refuses(self) -> bool:
        """Whether it no longer takes connections."""
        try:
            RawClient(self.http).close()
        except OSError:
            return True
        return False

    def url(self, target: str = "") -> str:
        return f"http://{self.http[0]}:{self.http[1]}{target}"

    def get(
        self, target: str, fields: Sequence[tuple[str, str]] = (), method: str = "GET", **options: Any
    ) -> RawAnswer:
        return fetch(self.http, target, fields, method, **options)

    def get_secured(self, target: str, context: ssl.SSLContext, **options: Any) -> RawAnswer:
        return fetch(self.https, target, context=context, **options)

    def ask_admin(self, path: str, method: str = "GET", document: Any = None) -> bytes:
        body = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        address = f"http://{self.admin[0]}:{self.admin[1]}{path}"
        request = urllib.request.Request(address, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric, with or without the node's prefix, that have `labels`."""
        total = 0.0
        for line in self.ask_admin("/metrics").decode().split("\n"):
            found = re.fullmatch(r"(?:edgeproxy_)?(\w+?)(?:\{(.*)\})? (\S+)", line)
            if found is None or found[1] != name:
                continue
            if all(f'{key}="{value}"' in (found[2] or "") for key, value in labels.items()):
                total += float(found[3])
        return total

    def purge(self, scope: str, value: str = "", soft: bool = False) -> None:
        self.ask_admin("/api/v1/purge", "POST", {"scope": scope, "value": value, "soft": soft})

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.ask_admin("/api/v1/status")))

    def resident_bytes(self) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+([0-9]+) kB", text)[0]) * 1024

    def cpu_seconds(self) -> float:
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def bodies_open(self) -> list[str]:
        """Body files, whole, in part and on their way, that the process has open."""
        folders = tuple(f"{self.cache / name}/" for name in ("bodies", "partial", "tmp"))
        found = []
        for descriptor in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):  # it has been closed meanwhile
                found.append(os.readlink(f"/proc/{self.pid}/fd/{descriptor}"))
        return [path for path in found if path.startswith(folders)]

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def free_addresses(count: int) -> list[str]:
    """Addresses that nobody listens at, for nodes that must know each other beforehand."""
    return [f"127.0.0.1:{reserve()}" for _ in range(count)]


def eventually(question: Any, within: float = PATIENCE_SECONDS) -> bool:
    """Whether `question()` becomes true in time."""
    deadline = time.monotonic() + within
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
