"""`edgeproxy run`: a command whose HTTP goes through the node, and that knows nothing of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from edgeproxy.cli.environment import node_url, proxied
from edgeproxy.cli.options import configured, read
from edgeproxy.errors import EdgeError
from edgeproxy.proxy.places import ca_directory

START_SECONDS = 20.0
END_SECONDS = 35.0
_ASK_SECONDS = 2.0


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@configured
@click.option("--ephemeral", is_flag=True, help="A node of its own for as long as the command runs.")
@click.option("--url", metavar="URL", help="Where the node is, instead of listen.http.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    config_file: Path | None,
    settings: tuple[str, ...],
    ephemeral: bool,
    url: str | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND through the node: edgeproxy run -- pip install requests. Without a node that runs, one is
    started for the time of the command; both share the cache."""
    config = read(config_file, settings)
    directory = ca_directory(config)
    from edgeproxy.proxy.authority import ensure
    from edgeproxy.proxy.bundle import write_bundle

    bundle = ""
    if config.proxy.intercept != "off":
        ensure(directory, time.time(), config.proxy.ca_names)
        bundle = str(write_bundle(directory))
    place = url or node_url(config.listen)
    if not ephemeral and place is not None and _answers(place):
        return _run(command, place, bundle)
    if url is not None:
        raise EdgeError(f"no node answers at {url}")
    with _node(config_file, settings, str(directory)) as started:
        return _run(command, started, bundle)


def _answers(url: str) -> bool:
    """Whether a node of ours is there."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{url.rstrip('/')}/.well-known/edgeproxy", timeout=_ASK_SECONDS
        ) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _run(command: Sequence[str], url: str, bundle: str) -> int:
    directly = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    environment = {**os.environ, **proxied(url, bundle, directly)}
    try:
        process = subprocess.Popen(command, env=environment)
    except FileNotFoundError:
        raise EdgeError(f"{command[0]}: no such command") from None
    except OSError as error:
        raise EdgeError(f"{command[0]}: {error.strerror}") from None
    with _passed_on(process):
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A terminal sends its signals to all; SIGTERM comes to us alone."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _node(config_file: Path | None, settings: Sequence[str], ca: str) -> Iterator[str]:
    """A node at a port the kernel chooses; its URL."""
    options = ["--config", str(config_file)] if config_file is not None else []
    changed = (
        *settings,
        'listen.http=["127.0.0.1:0"]',
        "listen.https=[]",
        "admin.listen=",
        f"proxy.ca={ca}",
    )
    for setting in (*changed, "node.workers=1", "log.access=off"):
        options += ["--set", setting]
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeproxy", "serve", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        start_new_session=True,  # Ctrl-C is for the command; the node ends after it
    )
    try:
        url = _ready(process)
        if url is None:
            raise EdgeError(f"the node did not start: {_why(said)}")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.close()


def _ready(process: subprocess.Popen[bytes]) -> str | None:
    assert process.stdout is not None
    deadline, line = time.monotonic() + START_SECONDS, b""
    while not line.endswith(b"\n") and time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.2)[0]:
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                break
            line += data
    for word in line.decode("utf-8", "replace").split():
        if word.startswith("http="):
            return f"http://{word.removeprefix('http=').partition(',')[0]}"
    return None


def _why(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line for line in said.read().decode("utf-8", "replace").splitlines() if "edgeproxy: " in line]
    return lines[-1].partition("edgeproxy: ")[2] if lines else "it does not answer"
