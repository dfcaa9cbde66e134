"""Stand-in servers as processes of their own.

`python -m benchmarks.NAME` says where it listens in a line that ends with its addresses, keeps itself on
the load core, and answers questions about itself below /-/."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from benchmarks import machine


class Standing:
    """One that runs, until `stop`. `addresses` are the last `count` words of its line."""

    def __init__(self, name: str, *flags: str, count: int = 1) -> None:
        """Raises RuntimeError if it does not start."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{name}", *flags],
            stdout=subprocess.PIPE,
            text=True,
            cwd=machine.ROOT,
        )
        assert self._process.stdout
        line = self._process.stdout.readline().split()
        if not line:
            raise RuntimeError(f"the {name} did not start")
        self.addresses = line[-count:]
        self.url = f"http://{self.addresses[0]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/-/{what}", timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
