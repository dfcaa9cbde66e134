"""The real tools that fetch packages and models, as their users run them: pip, uv, huggingface_hub. Each run
has a home of its own and no cache, so that everything comes over the network, and is told of the server by
nothing but its URL."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hub_models import Models
from benchmarks.wheels import ROOT, Project, reached

SECONDS_MAX = 180
_UNWANTED = ("PIP_", "UV_", "HF_", "HUGGING", "EDGEPROXY_", "PYTHON")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SNAPSHOT = "import sys, huggingface_hub as hub; hub.snapshot_download(sys.argv[1], local_dir=sys.argv[2])"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a tool. `problem` is why what it left behind is not right, "" if it is."""

    seconds: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """`command` makes the command line and further variables from the server's URL and a folder for what
    comes; `check` tells what is wrong with that folder afterwards. `absent` is why it cannot run here."""

    name: str
    what: str
    is_index: bool
    command: Callable[[str, Path], tuple[list[str], dict[str, str]]]
    check: Callable[[Path], str]
    absent: str = ""

    def run(self, url: str, place: Path) -> Ran:
        """Fetch everything into `place`, a folder that is not there yet."""
        home, target = place / "home", place / "target"
        home.mkdir(parents=True)
        command, more = self.command(url, target)
        begun = time.perf_counter()
        try:
            done = subprocess.run(
                command,
                cwd=home,
                env=clean(os.environ, home) | more,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(time.perf_counter() - begun, f"no end within {SECONDS_MAX} s")
        seconds = time.perf_counter() - begun
        problem = self.check(target) if done.returncode == 0 else _last_line(done)
        shutil.rmtree(place, ignore_errors=True)
        return Ran(seconds, problem)


def clean(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    """Without what a user may have set for these tools, and with a home of its own."""
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(_UNWANTED) and name.lower() not in _PROXIES
    }
    return kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
    return f"status {done.returncode}: {lines[-1][-300:]}"


def installers(known: Sequence[Project]) -> list[Tool]:
    """pip and uv, installing what ROOT needs."""
    wanted = [project for project in known if project.name in reached(known)]
    size = sum(len(project.wheel) for project in wanted)
    what = f"{len(wanted)} wheels, {size / 1e6:.0f} MB"
    uv = _uv()

    def pip_command(url: str, target: Path) -> tuple[list[str], dict[str, str]]:
        options = ["--isolated", "--disable-pip-version-check", "install", "--no-cache-dir", "--no-compile"]
        places = ["--index-url", f"{url}/simple/", "--target", str(target)]
        return [sys.executable, "-m", "pip", *options, *places, ROOT], {"PIP_CONFIG_FILE": os.devnull}

    def uv_command(url: str, target: Path) -> tuple[list[str], dict[str, str]]:
        options = ["pip", "install", "--no-cache", "--no-config", "--python", sys.executable]
        places = ["--default-index", f"{url}/simple/", "--target", str(target)]
        return [uv, *options, *places, ROOT], {}

    def check(target: Path) -> str:
        return wrong_files(target, {project.data_path: _sha256(project.data) for project in wanted})

    return [
        Tool("pip install", what, True, pip_command, check, "" if _has("pip") else "pip is not installed"),
        Tool("uv pip install", what, True, uv_command, check, "" if uv else "uv is not installed"),
    ]


def hub_client(models: Models) -> Tool:
    """A snapshot of the first model, by the library."""
    model = models.names[0]
    files = models.files(model)
    size = sum(file.size for file in files.values())

    def command(url: str, target: Path) -> tuple[list[str], dict[str, str]]:
        variables = {
            "HF_ENDPOINT": url,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        return [sys.executable, "-c", _SNAPSHOT, model, str(target)], variables

    def check(target: Path) -> str:
        return wrong_files(target, {path: file.sha256 for path, file in files.items()})

    absent = "" if _has("huggingface_hub") else "huggingface_hub is not installed"
    return Tool(
        "snapshot_download", f"{len(files)} files, {size / 1e6:.0f} MB", False, command, check, absent
    )


def wrong_files(place: Path, digests: Mapping[str, str]) -> str:
    """Which of these files is not there, or has another SHA-256; "" if all are right."""
    for path, digest in digests.items():
        try:
            with (place / path).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return f"{path} is missing"
        if found != digest:
            return f"{path} has wrong bytes"
    return ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _uv() -> str:
    """The program of this environment, or the one on PATH; "" for none."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv") or ""
