"""`edgeproxy run`: a command whose HTTP goes through the node, and that knows nothing of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from edgeproxy.cli import node_authority
from edgeproxy.cli.environment import CA_HELP, proxied, proxy_url, with_user, without_user
from edgeproxy.cli.options import configured, read
from edgeproxy.config import Config
from edgeproxy.errors import EdgeError
from edgeproxy.proxy.places import ca_directory

START_SECONDS = 20.0
END_SECONDS = 35.0


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@configured
@click.option("--ephemeral", is_flag=True, help="A node of its own for as long as the command runs.")
@click.option("--url", metavar="URL", help="Where the node is, instead of listen.proxy or listen.http.")
@click.option("--ca", metavar="FILE", type=click.Path(path_type=Path), help=CA_HELP)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    config_file: Path | None,
    settings: tuple[str, ...],
    ephemeral: bool,
    url: str | None,
    ca: Path | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND through the node: edgeproxy run -- pip install requests. Without a node that runs, one is
    started for the time of the command; both share the cache."""
    if ephemeral and (url is not None or ca is not None):
        raise click.UsageError("--ephemeral starts a node; --url and --ca are of one that runs already")
    config = read(config_file, settings)
    directory = ca_directory(config)
    trusted, bundle = _trusted(config, directory, ca)
    users = config.proxy.users if url is None else ()
    if config.proxy.tokens and not config.proxy.users and url is None:
        raise EdgeError("proxy.tokens are nothing that commands can show; add one of proxy.users")
    place = url or proxy_url(config.listen) or ""
    plain = without_user(place)
    if plain and not ephemeral and node_authority.answers(plain):
        warning = node_authority.check(plain, trusted) if trusted else ""
        if warning:
            click.echo(f"edgeproxy: {warning}", err=True)
        return _run(command, with_user(place, users), bundle)
    if url is not None or ca is not None:
        raise EdgeError(f"no node answers at {plain or 'a port that is known; say where with --url'}")
    with _node(config_file, settings, str(directory)) as started:
        return _run(command, with_user(started, users), bundle)


def _trusted(config: Config, directory: Path, ca: Path | None) -> tuple[bytes, str]:
    """PEM of the authorities that the command is to trust, one made if need be, and the file that holds them
    beside the public roots; nothing where hosts are not answered under their own name."""
    if ca is None and config.proxy.intercept == "off":
        return b"", ""
    from edgeproxy.proxy import authority
    from edgeproxy.proxy.bundle import write_bundle

    if ca is not None:
        elsewhere = node_authority.read_certificates(ca)
        return elsewhere, str(write_bundle(directory, elsewhere))
    authority.ensure(directory, time.time(), config.proxy.ca_names)
    return authority.trusted(directory), str(write_bundle(directory))


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
        "listen.proxy=[]",
        "listen.transparent=[]",
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
