"""pip, uv and curl as subprocesses, free of this machine's settings and caches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stands.node import environment

SECONDS = 100


def _run(command: Sequence[str], home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    clean = environment()
    clean.pop("PYTHONPATH")
    for trusted in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        clean.pop(trusted, None)
    home.mkdir(parents=True, exist_ok=True)
    clean.update(HOME=str(home), XDG_CONFIG_HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), **extra)
    return subprocess.run(
        command, cwd=home, env=clean, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@dataclass(frozen=True)
class Installed:
    """What an installer left behind and said."""

    status: int
    output: str
    target: Path

    @property
    def packages(self) -> dict[str, str]:
        """Version by project, from the metadata directories."""
        found = (path.name.removesuffix(".dist-info") for path in self.target.glob("*.dist-info"))
        return {name: version for name, _, version in (stem.partition("-") for stem in found)}


@dataclass(frozen=True)
class Pip:
    """A release of pip; `where` is a directory that holds it, None for the interpreter's own."""

    name: str
    where: Path | None = None

    def install(self, index: str, target: Path, *arguments: str) -> Installed:
        command = [sys.executable, "-m", "pip", "install", "--no-compile", "--no-cache-dir", "--isolated"]
        command += ["--index-url", index, "--target", str(target), *arguments]
        extra = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        if self.where is not None:
            extra["PYTHONPATH"] = str(self.where)
        command.insert(4, "--disable-pip-version-check")
        done = _run(command, target.parent / f"{target.name}.home", **extra)
        return Installed(done.returncode, done.stdout + done.stderr, target)


@dataclass(frozen=True)
class Uv:
    """A release of uv by the path of its program."""

    name: str
    program: Path

    def install(self, index: str, target: Path, *arguments: str, **extra: str) -> Installed:
        command = [
            str(self.program),
            "pip",
            "install",
            "--no-cache",
            "--no-config",
            "--python",
            sys.executable,
        ]
        command += ["--default-index" if self.name != "uv 0.4" else "--index-url", index]
        command += ["--target", str(target), *arguments]
        done = _run(command, target.parent / f"{target.name}.home", **extra)
        return Installed(done.returncode, done.stdout + done.stderr, target)


Installer = Pip | Uv


def curl(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("curl")
    assert program is not None
    return _run([program, "--silent", "--show-error", "--max-time", "60", *arguments], home)


def obtain(requirement: str, directory: Path) -> str:
    """Install one released client into `directory` with this machine's own settings. Returns "" or
    why it could not be had."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(directory), requirement],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip()[-300:]
