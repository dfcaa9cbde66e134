"""Released clients of the hub, each in a virtual environment of its own that is kept between runs.

Environments lie under $EDGEPROXY_TEST_CACHE, else in the user's cache folder, named by what is in them;
they are made from the package index this machine's pip is set to. A client runs as a subprocess with a
home of its own, told of the hub by HF_ENDPOINT and by nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stands.forks import forks
from stands.kept import Unavailable, kept
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

# Runs calls of huggingface_hub given as JSON one after the other, and says as JSON what came of each.
_CALLS = """
import json, sys, time
import huggingface_hub

def call(order):
    began = time.monotonic()
    try:
        said = {"value": getattr(huggingface_hub, order["call"])(**order["arguments"])}
    except Exception as error:
        said = {"raised": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}
        cause = error.__cause__
        if cause is not None:
            said["cause"] = [kind.__name__ for kind in type(cause).__mro__]
    return {**said, "seconds": time.monotonic() - began}

print("\\nsaid " + json.dumps([call(order) for order in json.loads(sys.argv[1])], default=repr))
"""


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


def obtain_environment(name: str) -> Path:
    """The interpreter of an environment, which is made if there is none. Raises Unavailable."""

    def make(place: Path) -> None:
        _make(place, place / "bin" / "python", RELEASES[name])

    return kept(f"hub-{name}", RELEASES[name], make) / "bin" / "python"


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
class Call:
    """A call of huggingface_hub. If it `downloads`, what it gives back is the place of a snapshot, or of the
    file `path`."""

    function: str
    arguments: Mapping[str, Any]
    downloads: bool = False
    path: str = ""


def snapshot(name: str, **arguments: Any) -> Call:
    return Call("snapshot_download", {"repo_id": name, **arguments}, downloads=True)


def file(name: str, path: str, **arguments: Any) -> Call:
    return Call(
        "hf_hub_download", {"repo_id": name, "filename": path, **arguments}, downloads=True, path=path
    )


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
        return self.do(snapshot(name, **arguments))[0]

    def file(self, name: str, path: str, **arguments: Any) -> Done:
        """hf_hub_download of one file, which is all there is in `files` of the result."""
        return self.do(file(name, path, **arguments))[0]

    def call(self, function: str, **arguments: Any) -> Done:
        """Any function of huggingface_hub by name; what is no JSON in its result comes as its repr."""
        return self.do(Call(function, arguments))[0]

    def do(self, *calls: Call) -> list[Done]:
        """Several calls in one process, one after the other, and what came of each."""
        order = _order(calls)
        if hasattr(os, "pidfd_open"):
            variables, server = self.environment(), forks(self.python, IMPORTED)
            began = time.monotonic()
            status, output, errors = server.run(_CALLS, [order], self.home, variables, self.seconds)
            done = Done(status, output, errors, time.monotonic() - began)
        else:
            done = self.run([str(self.python), "-c", _CALLS, order])
        told = _told(done)
        if not isinstance(told, list):
            return [done] * len(calls)
        return [_outcome(done, call, said) for call, said in zip(calls, told, strict=True)]

    def start(self, function: str, **arguments: Any) -> subprocess.Popen[str]:
        """A call without waiting, for those who are to be killed."""
        return subprocess.Popen(
            [str(self.python), "-c", _CALLS, _order([Call(function, arguments)])],
            cwd=self.home, env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def python_code(self, code: str, *arguments: str) -> Done:
        """Any program; what it prints after a line's "said " is JSON and becomes `value`."""
        done = self.run([str(self.python), "-c", code, *arguments])
        return _with(done, value=_told(done))

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


def _order(calls: Sequence[Call]) -> str:
    return json.dumps([{"call": call.function, "arguments": dict(call.arguments)} for call in calls])


def _told(done: Done) -> Any:
    """The JSON after a line's "said ", None if there is none."""
    lines = [line for line in done.output.split("\n") if line.startswith("said ")]
    return json.loads(lines[-1].removeprefix("said ")) if lines else None


def _outcome(done: Done, call: Call, said: dict[str, Any]) -> Done:
    outcome = _with(
        done,
        seconds=said["seconds"],
        value=said.get("value"),
        raised=tuple(said.get("raised", ())),
        cause=tuple(said.get("cause", ())),
        message=said.get("message", ""),
    )
    if not outcome.ok or not call.downloads:
        return outcome
    place = Path(str(outcome.value))
    return _with(outcome, files={call.path: _digest(place)} if call.path else digests(place))


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
