"""Python programs of another environment without the wait for its imports.

One process for each interpreter imports what its libraries need and then forks for each program. Modules
that read the environment when they are imported are not among those: every program imports them itself.

    Forks(python, ["requests"]).run("print(sys.argv[1])", ["x"], home, environment, seconds=10)"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

READY_SECONDS = 60

_SERVE = """
import importlib, json, os, signal, sys, traceback
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)

def run(order):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, path in ((0, os.devnull), (1, order["output"]), (2, order["errors"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(order["home"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["-c", *order["arguments"]]
    status = 1
    try:
        exec(compile(order["code"], "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with open(order["status"], "w") as file:
        file.write(str(status))
    os._exit(status)

for line in sys.stdin:
    child = os.fork()
    if not child:
        run(json.loads(line))
    print(child, flush=True)
"""


class Forks:
    """Programs of one interpreter, with `path` as its PYTHONPATH; used from any thread."""

    def __init__(self, python: Path, modules: Sequence[str], path: str = "") -> None:
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [str(python), "-c", _SERVE, json.dumps(list(modules))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        assert self._server.stdout is not None
        if not select.select([self._server.stdout], [], [], READY_SECONDS)[0]:
            self.close()
            raise TimeoutError(f"{python} does not get ready")
        assert self._server.stdout.readline() == "ready\n"
        atexit.register(self.close)

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def run(
        self, code: str, arguments: Sequence[str], home: Path, environment: Mapping[str, str], seconds: float
    ) -> tuple[int, str, str]:
        """Status, output and errors of a program. Raises TimeoutExpired."""
        with tempfile.TemporaryDirectory() as place:
            paths = {name: os.path.join(place, name) for name in ("output", "errors", "status")}
            order = {"code": code, "arguments": list(arguments), "home": str(home), **paths}
            self._wait_for(self._fork(json.dumps({**order, "environment": dict(environment)})), seconds, code)
            texts = [Path(path).read_text("utf-8", "replace") for path in (paths["output"], paths["errors"])]
            status = Path(paths["status"])
            return int(status.read_text() or -1) if status.exists() else -1, texts[0], texts[1]

    def _fork(self, order: str) -> int:
        """The pidfd of a new process."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            self._server.stdin.write(order + "\n")
            self._server.stdin.flush()
            process = int(self._server.stdout.readline())
            try:
                return os.pidfd_open(process)
            except ProcessLookupError:  # it has ended already
                return -1

    @staticmethod
    def _wait_for(process: int, seconds: float, code: str) -> None:
        if process < 0:
            return
        try:
            if not select.select([process], [], [], seconds)[0]:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(code[:80], seconds)
        finally:
            os.close(process)


_running: dict[tuple[Path, str], Forks] = {}
_starting = threading.Lock()


def forks(python: Path, modules: Sequence[str], path: str = "") -> Forks:
    """The one of this interpreter and path, started when it is first needed."""
    with _starting:
        if (python, path) not in _running:
            _running[python, path] = Forks(python, modules, path)
        return _running[python, path]
