"""Nodes without the wait for their imports.

A process that has loaded the program forks one for each command line. What comes of it is what
`python -c PROGRAM ARGUMENTS` would have been: a child of this process, with the same arguments, environment,
folder and files, and it runs the same function. It is made a child by two steps: the process that forks forks
once more and leaves, and who is left behind comes to the nearest of its forebears that takes in orphans,
which this process declares itself to be (PR_SET_CHILD_SUBREAPER, Linux only)."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAM = "from edgeproxy.cli.main import main; main()"  # what the console script does
READY_SECONDS = 60
_SUBREAPER = 36

_LOADED = (
    "edgeproxy.cli.main",
    "edgeproxy.process",
    "edgeproxy.serving.tls",
    "edgeproxy.serving.self_signed",
)

_SERVE = """
import importlib, json, os, sys

for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
assert os.listdir("/proc/self/task") == [str(os.getpid())], "there are threads, which a fork would lose"
os.write(1, b"ready\\n")

def order():
    "The next command line; returns in a process that is to run it."
    for line in sys.stdin:
        reading, writing = os.pipe()
        between = os.fork()
        if not between:
            node = os.fork()
            if not node:
                os.close(reading)
                os.close(writing)
                return json.loads(line)
            os.write(writing, b"%d" % node)
            os._exit(0)
        os.close(writing)
        pid = os.read(reading, 20)
        os.close(reading)
        os.waitpid(between, 0)
        os.write(1, pid + b"\\n")
    os._exit(0)

wanted = order()
for number, path, flags in (
    (0, os.devnull, os.O_RDONLY),
    (1, wanted["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    (2, wanted["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
):
    opened = os.open(path, flags, 0o666)
    os.dup2(opened, number)
    os.close(opened)
os.chdir(wanted["folder"])
sys.argv = ["-c", *wanted["arguments"]]
sys.orig_argv = [sys.executable, "-c", wanted["program"], *wanted["arguments"]]
del importlib, json, order
exec(wanted["program"])
"""


class Child:
    """A process that was born elsewhere and is ours, with what is used of Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None:
                found, status = os.waitpid(self.pid, os.WNOHANG)
                if found:
                    self.returncode = os.waitstatus_to_exitcode(status)
                    os.close(self._handle)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended: a status, or less than 0 for a signal. Raises TimeoutExpired."""
        if self.poll() is None and not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class NodeForks:
    """Commands of the program, in processes that need not load it; used from any thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._loaded = subprocess.Popen(
            [sys.executable, "-c", _SERVE, json.dumps(_LOADED)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            text=True,
        )
        atexit.register(self.close)
        assert self._loaded.stdout is not None
        if not select.select([self._loaded.stdout], [], [], READY_SECONDS)[0]:
            raise TimeoutError("the program is not loaded")
        assert self._loaded.stdout.readline() == "ready\n"

    def close(self) -> None:
        self._loaded.kill()
        self._loaded.communicate()

    def run(self, arguments: Sequence[str], folder: Path, output: Path, errors: Path) -> Child:
        """`edgeproxy ARGUMENTS` in `folder`; `output` is written anew, `errors` is gone on with."""
        paths = {"folder": str(folder), "output": str(output), "errors": str(errors)}
        order = json.dumps({"program": PROGRAM, "arguments": list(arguments), **paths})
        assert self._loaded.stdin is not None
        assert self._loaded.stdout is not None
        with self._lock:
            self._loaded.stdin.write(order + "\n")
            self._loaded.stdin.flush()
            return Child(int(self._loaded.stdout.readline()))


_running: NodeForks | None = None
_starting = threading.Lock()


def node_forks(environment: Mapping[str, str]) -> NodeForks | None:
    """The one of this process, started in `environment` when it is first needed. None where this cannot be
    done."""
    global _running
    with _starting:
        if _running is None and _takes_in_orphans():
            _running = NodeForks(environment)
        return _running


def _takes_in_orphans() -> bool:
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    return False
