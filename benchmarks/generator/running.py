"""Following a plan in a process of its own on the load core."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

from benchmarks import machine
from benchmarks.generator.outcome import Outcome
from benchmarks.generator.plan import Plan

_PATIENCE_SECONDS = 60.0  # beyond what the plan itself may take: starting, opening connections, telling


class Running:
    """A load under way. Leaving the `with` block ends it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=machine.ROOT,
            preexec_fn=lambda: machine.pin(machine.load_core()),
        )
        self._plan_text = plan.to_json()
        assert self._process.stdin
        self._process.stdin.write(self._plan_text)
        self._process.stdin.close()
        self._process.stdin = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def outcome(self) -> Outcome:
        """Wait for the end. Raises RuntimeError if the generator itself failed."""
        plan = self.plan
        seconds = plan.warm_seconds + plan.seconds + 2 * plan.timeout_seconds + _PATIENCE_SECONDS
        try:
            told, said = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise RuntimeError(f"the load generator did not end within {seconds:.0f} s") from None
        if self._process.returncode:
            last = said.strip().splitlines()[-1:] or ["no message"]
            raise RuntimeError(f"the load generator failed: {last[0]}")
        return Outcome.from_json(told)


def start(plan: Plan) -> Running:
    """Begin to follow a plan, to do something else meanwhile."""
    return Running(plan)


def run(plan: Plan) -> Outcome:
    """Follow a plan to its end. Raises RuntimeError if the generator itself failed."""
    with start(plan) as running:
        return running.outcome()
