"""Released clients of the hub, each in a virtual environment of its own that is kept between runs.

Environments lie under $EDGEPROXY_TEST_CACHE, else in the user's cache folder, named by what is in them;
they are made from the package index this machine's pip is set to. A client runs as a subprocess with a
home of its own, told of the hub by HF_ENDPOINT and by nothing else."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stands.forks import forks
from stands.node import environment
from stands.raw_client import RawAnswer, fetch

INSTALL_SECONDS = 600
SECONDS = 100

# What an environment holds, by its name in tests.
RELEASES: dict[str, tuple[str, ...]] = {
    "0.24": ("huggingface_hub==0.24.7",),
    "0.36": ("huggingface_hub==0.36.2", "hf_transfer==0.1.9", "hf_xet==1.2.0"),
    "1": ("huggingface_hub==1.33.0", "hf_xet==1.8.0"),
    "2": ("huggingface_hub==2.4.0", "hf_xet==1.8.0"),
    # Large: made only when a test asks for it.
    "transformers": ("transformers", "tokenizers", "safetensors", "numpy", "datasets", "pyarrow"),
}
HUB_RELEASES = ("0.24", "0.36", "1", "2")
XET_RELEASES = ("0.36", "1", "2")

# What the library needs and what reads nothing of the environment: imported once for all calls.
IMPORTED = (
    *("anyio", "asyncio", "certifi", "charset_normalizer", "click", "concurrent.futures", "email.message"),
    *("filelock", "fsspec", "httpcore", "httpx", "httpx2", "idna", "inspect", "packaging.version"),
    *("requests", "ssl", "tempfile", "tqdm.auto", "typer", "typing_extensions", "urllib3", "uuid", "yaml"),
)

# Runs a call of huggingface_hub given as JSON, and says as JSON what came of it.
_CALL = """
import json, sys
order = json.loads(sys.argv[1])
import huggingface_hub
try:
    value = getattr(huggingface_hub, order["call"])(**order["arguments"])
    said = {"value": value}
except Exception as error:
    said = {"raised": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}
    cause = error.__cause__
    if cause is not None:
        said["cause"] = [kind.__name__ for kind in type(cause).__mro__]
print("\\nsaid " + json.dumps(said, default=repr))
"""


class Unavailable(Exception):
    """An environment or program cannot be had here; the text says why."""


@dataclass(frozen=True)
class Done:
    """What a client did. `files` are SHA-256 by path for what it downloaded; `raised` are the names of
    the exception's classes, its own first; `value` is what the call gave back."""

    status: int
    output: str
    errors: str
    seconds: float
    value: Any = None
    raised: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    message: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.raised

    def __str__(self) -> str:
        said = f"{self.raised[:1]} {self.message}" if self.raised else repr(self.value)
        return f"status {self.status} after {self.seconds:.1f} s, {said}\n{self.output}\n{self.errors}"


def cache_directory() -> Path:
    named = os.environ.get("EDGEPROXY_TEST_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeproxy-tests"


def obtain_environment(name: str) -> Path:
    """The interpreter of an environment, which is made if there is none. Raises Unavailable."""
    wanted = "\n".join([*RELEASES[name], platform.python_version(), platform.machine()])
    place = cache_directory() / f"hub-{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:10]}"
    python = place / "bin" / "python"
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / f"{place.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            _make(place, python, RELEASES[name])
            (place / "complete").write_text(wanted)
    return python


def _make(place: Path, python: Path, requirements: tuple[str, ...]) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *requirements]
    for command in ([sys.executable, "-m", "venv", "--without-pip", str(place)], pip):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{' '.join(requirements)}: not installed in {INSTALL_SECONDS} s") from None
        if done.returncode != 0:
            raise Unavailable(f"{' '.join(requirements)}: {done.stderr.strip()[-300:]}")


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its path there; links are followed, .cache is not."""
    found: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and ".cache" not in relative.parts:
            found[str(relative)] = _digest(path)
    return found


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clean(home: Path) -> dict[str, str]:
    unwanted = ("HF_", "HUGGING", "TRANSFORMERS_", "DATASETS_", "GIT_")
    kept = {name: value for name, value in environment().items() if not name.startswith(unwanted)}
    kept.pop("PYTHONPATH")
    home.mkdir(parents=True, exist_ok=True)
    kept.update(HOME=str(home), XDG_CONFIG_HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    return kept


@dataclass(frozen=True)
class HubClient:
    """One release of the hub's libraries, of a user who lives in `home` and sends `token`.

    `xet` lets it use hf_xet where it has it, `transfer` turns hf_transfer on (0.36 only); `extra` is
    added to its environment. The same `home` twice is the same user coming back."""

    name: str
    python: Path
    endpoint: str
    home: Path
    token: str = ""
    xet: bool = False
    transfer: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    seconds: float = SECONDS

    def environment(self) -> dict[str, str]:
        variables = _clean(self.home)
        variables.update(
            HF_ENDPOINT=self.endpoint,
            HF_HOME=str(self.home / "hf"),
            HF_HUB_DISABLE_PROGRESS_BARS="1",
            HF_HUB_DISABLE_UPDATE_CHECK="1",
            PYTHONUNBUFFERED="1",
        )
        if self.token:
            variables["HF_TOKEN"] = self.token
        if not self.xet:
            variables["HF_HUB_DISABLE_XET"] = "1"
        if self.transfer:
            variables["HF_HUB_ENABLE_HF_TRANSFER"] = "1"
        return variables | dict(self.extra)

    # Calls of the library.

    def snapshot(self, name: str, **arguments: Any) -> Done:
        """snapshot_download; `files` of the result hold the whole snapshot."""
        return self._downloaded(self.call("snapshot_download", repo_id=name, **arguments))

    def file(self, name: str, path: str, **arguments: Any) -> Done:
        """hf_hub_download of one file, which is all there is in `files` of the result."""
        done = self.call("hf_hub_download", repo_id=name, filename=path, **arguments)
        return self._downloaded(done, path)

    def call(self, function: str, **arguments: Any) -> Done:
        """Any function of huggingface_hub by name; what is no JSON in its result comes as its repr."""
        order = json.dumps({"call": function, "arguments": arguments})
        if not hasattr(os, "pidfd_open"):
            return self._said(self.run([str(self.python), "-c", _CALL, order]))
        variables, server = self.environment(), forks(self.python, IMPORTED)
        began = time.monotonic()
        status, output, errors = server.run(_CALL, [order], self.home, variables, self.seconds)
        return self._said(Done(status, output, errors, time.monotonic() - began))

    def start(self, function: str, **arguments: Any) -> subprocess.Popen[str]:
        """The same without waiting, for those who are to be killed."""
        order = json.dumps({"call": function, "arguments": arguments})
        return subprocess.Popen(
            [str(self.python), "-c", _CALL, order],
            cwd=self.home, env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def python_code(self, code: str, *arguments: str) -> Done:
        """Any program; what it prints after a line's "said " is JSON and becomes `value`."""
        return self._said(self.run([str(self.python), "-c", code, *arguments]))

    # The command line.

    def command(self, *arguments: str) -> Done:
        """`hf`, or `huggingface-cli` where there is no `hf` yet."""
        program = next(p for n in ("hf", "huggingface-cli") if (p := self.python.parent / n).exists())
        return self.run([str(program), *arguments])

    def command_download(self, name: str, *arguments: str, to: Path) -> Done:
        """`hf download` to a folder; `files` are what is there afterwards."""
        done = self.command("download", name, *arguments, "--local-dir", str(to))
        return _with(done, files=digests(to))

    def run(self, command: list[str]) -> Done:
        """Any program in this client's environment. Raises TimeoutExpired."""
        variables = self.environment()
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.home,
            env=variables,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def _said(self, done: Done) -> Done:
        lines = [line for line in done.output.split("\n") if line.startswith("said ")]
        if not lines:
            return done
        said = json.loads(lines[-1].removeprefix("said "))
        if not isinstance(said, dict) or not {"value", "raised"} & set(said):
            return _with(done, value=said)
        raised, cause = tuple(said.get("raised", ())), tuple(said.get("cause", ()))
        return _with(
            done, value=said.get("value"), raised=raised, cause=cause, message=said.get("message", "")
        )

    def _downloaded(self, done: Done, path: str = "") -> Done:
        if not done.ok:
            return done
        place = Path(str(done.value))
        return _with(done, files={path: _digest(place)} if path else digests(place))


def _with(done: Done, **changes: Any) -> Done:
    values = {name: getattr(done, name) for name in done.__dataclass_fields__}
    return Done(**{**values, **changes})


def hub_client(name: str, endpoint: str, home: Path, **options: Any) -> HubClient:
    """A client of one of RELEASES; options are those of HubClient. Raises Unavailable."""
    return HubClient(name, obtain_environment(name), endpoint, home, **options)


# Programs that are not Python's.


def run_program(name: str, home: Path, *arguments: str, seconds: float = SECONDS) -> Done:
    """curl, aria2c, git with git-lfs: found on PATH, free of this user's settings. Raises Unavailable."""
    program = shutil.which(name)
    if program is None:
        raise Unavailable(f"{name} is not installed")
    variables = _clean(home) | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    began = time.monotonic()
    done = subprocess.run(
        [program, *arguments],
        cwd=home,
        env=variables,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


# Raw requests.


def ask(
    url: str, method: str = "GET", token: str = "", fields: Sequence[tuple[str, str]] = (), **options: Any
) -> RawAnswer:
    """One request to a URL, nothing followed; options are those of raw_client.fetch."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    more = [("Authorization", f"Bearer {token}")] if token else []
    return fetch((parts.hostname, parts.port), target, [*fields, *more], method, **options)


def document(answer: RawAnswer) -> Any:
    """The JSON of a good answer."""
    assert answer.status == 200, answer
    return json.loads(answer.body)


def prepare() -> int:
    """Make every environment that is not there yet, two at a time; the number of those that cannot be had."""
    missing = 0
    with ThreadPoolExecutor(2) as pool:
        for name, made in [(name, pool.submit(obtain_environment, name)) for name in RELEASES]:
            try:
                made.result()
            except Unavailable as reason:
                print(f"{name}: {reason}", file=sys.stderr)
                missing += 1
    return missing


if __name__ == "__main__":
    sys.exit(prepare())
