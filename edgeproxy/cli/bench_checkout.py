"""The checkout that has the benchmark scenarios, which are no part of the installed package."""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

import edgeproxy
from edgeproxy.errors import EdgeError

ANSWER_SECONDS_MAX = 30.0


class Scenario(msgspec.Struct, frozen=True):
    """One question that is answered by measuring. `is_quick`: it has a run of some seconds. `is_alone`: it
    takes so long that it runs only when it is named."""

    name: str
    question: str
    uses: list[str]
    is_quick: bool
    minutes_max: float
    is_alone: bool


class Lacking(msgspec.Struct, frozen=True):
    """A program that is not installed, the Debian package that brings it, and who would use it."""

    program: str
    package: str
    scenarios: list[str]


class _Told(msgspec.Struct, frozen=True):
    scenarios: list[Scenario]
    lacking: list[Lacking]


@dataclass(frozen=True, slots=True)
class Checkout:
    directory: Path
    scenarios: tuple[Scenario, ...]
    lacking: tuple[Lacking, ...]

    def chosen(self, names: Sequence[str]) -> list[Scenario]:
        """Those named, or all, in the checkout's order. Raises click.UsageError for an unknown name."""
        known = [scenario.name for scenario in self.scenarios]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise click.UsageError(f"{name}: no such scenario; {hint}")
        return [scenario for scenario in self.scenarios if not names or scenario.name in names]


def module(name: str, *arguments: str) -> list[str]:
    """The command line of a module of benchmarks/."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def places() -> list[Path]:
    """Where a checkout is looked for: here, and around the package if it is installed from one."""
    return list(dict.fromkeys((Path.cwd(), Path(edgeproxy.__file__).resolve().parents[1])))


def found_directory(candidates: Sequence[Path]) -> Path:
    """The first that has the scenarios. Raises click.UsageError."""
    for directory in candidates:
        if (directory / "benchmarks" / "scenarios.py").is_file():
            return directory
    raise click.UsageError(
        f"no folder benchmarks/ in {candidates[0]}: the scenarios are no part of the installed package. Go "
        "to a checkout of edgeproxy, pip install '.[bench]' there, and run this again"
    )


def checkout() -> Checkout:
    """Raises click.UsageError where there is none, EdgeError for one that does not answer."""
    directory = found_directory(places())
    try:
        done = subprocess.run(
            module("scenarios"), cwd=directory, capture_output=True, timeout=ANSWER_SECONDS_MAX, check=True
        )
        told = msgspec.json.decode(done.stdout, type=_Told)
    except subprocess.CalledProcessError as error:
        raise EdgeError(f"{directory}/benchmarks: {_last_line(error.stderr)}") from None
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        raise EdgeError(f"{directory}/benchmarks does not tell its scenarios: {error}") from None
    return Checkout(directory, tuple(told.scenarios), tuple(told.lacking))


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no message"
