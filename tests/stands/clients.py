"""pip, uv and curl as subprocesses, free of this machine's settings and caches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stands.forks import forks
from stands.kept import Unavailable, kept
from stands.node import environment

SECONDS = 100
INSTALL_SECONDS = 110
_PIP = ("pip._internal.cli.main", "pip._internal.commands.install")
_RUN_PIP = "import sys; from pip._internal.cli.main import main; sys.exit(main())"
INSTALLERS = ("pip==22.3", "pip==20.3.4", "uv==0.9.9", "uv==0.5.31")  # older releases than this environment's


def _clean(home: Path, **extra: str) -> dict[str, str]:
    clean = environment()
    clean.pop("PYTHONPATH")
    for trusted in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        clean.pop(trusted, None)
    home.mkdir(parents=True, exist_ok=True)
    clean.update(HOME=str(home), XDG_CONFIG_HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), **extra)
    return clean


def _run(command: Sequence[str], home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=home,
        env=_clean(home, **extra),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
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

    def install(self, index: str, target: Path, *arguments: str, retries: int | None = None) -> Installed:
        more = [] if retries is None else ["--retries", str(retries)]
        options = ["--disable-pip-version-check", "install", "--no-compile", "--no-cache-dir", "--isolated"]
        options += ["--index-url", index, "--target", str(target), *more, *arguments]
        path = "" if self.where is None else str(self.where)
        extra = {"PIP_CONFIG_FILE": os.devnull, **({"PYTHONPATH": path} if path else {})}
        home, python = target.parent / f"{target.name}.home", Path(sys.executable)
        if not hasattr(os, "pidfd_open"):
            done = _run([sys.executable, "-m", "pip", *options], home, **extra)
            return Installed(done.returncode, done.stdout + done.stderr, target)
        loaded = forks(python, _PIP, path)
        status, output, errors = loaded.run(_RUN_PIP, options, home, _clean(home, **extra), SECONDS)
        return Installed(status, output + errors, target)


@dataclass(frozen=True)
class Uv:
    """A release of uv by the path of its program."""

    name: str
    program: Path

    def install(
        self, index: str, target: Path, *arguments: str, retries: int | None = None, **extra: str
    ) -> Installed:
        if retries is not None:
            extra["UV_HTTP_RETRIES"] = str(retries)
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


def obtain(requirement: str) -> Path:
    """A folder with one released client in it, installed with this machine's own settings if it is not there
    yet. Raises Unavailable."""

    def make(place: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
        done = subprocess.run(
            [*command, "--target", str(place), requirement],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"{requirement} cannot be had: {done.stderr.strip()[-300:]}")

    return kept(requirement.replace("==", "-"), [requirement], make)
