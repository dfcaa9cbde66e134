"""`edgeproxy warm`: have the running node fetch what clients will ask for."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from edgeproxy.cli.environment import certificate_to_trust, node_url
from edgeproxy.cli.options import configured, read
from edgeproxy.cli.rendering import cell
from edgeproxy.cli.warm_targets import RepositoryTarget, Target, hub_place, is_wanted, parse_target
from edgeproxy.cli.warm_walk import Ended, NotWarmed, Walk, Wanted, walking
from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError

FAILURES_SHOWN = 20
TOKEN_BYTES_MAX = 4096


@dataclass(frozen=True)
class Order:
    """What the command line says."""

    targets: tuple[Target, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    token: str
    jobs: int
    dry_run: bool


@click.command()
@configured
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--include", multiple=True, metavar="GLOB", help="Only such files; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No such files; may be repeated.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File with the hub token to ask with, instead of $HF_TOKEN.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at a time.")
@click.option("--url", metavar="URL", help="Where the node is, instead of listen.http or listen.https.")
@click.option("--dry-run", is_flag=True, help="Only list what would be fetched.")
def warm(
    config_file: Path | None,
    settings: tuple[str, ...],
    targets: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    token_file: Path | None,
    jobs: int,
    url: str | None,
    dry_run: bool,
) -> int:
    """Fetch through the running node, so that it has what clients will ask for.

    TARGET is hf:org/name[@revision] (hf:datasets/org/name for a data set; another hub by the name of its
    site), or a URL or path at the node. What is there already is only read; a run that was broken off goes
    on where it stopped. Ends with 1 if anything could not be had."""
    config = read(config_file, settings)
    node = url or node_url(config.listen)
    if node is None:
        raise ConfigurationError("listen", "tells no port; say where the node is with --url")
    try:
        parsed = tuple(parse_target(text) for text in targets)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    order = Order(parsed, include, exclude, hub_token(token_file), jobs, dry_run)
    return asyncio.run(_warm(order, config, node))


def hub_token(token_file: Path | None) -> str:
    """Of the file, else of the environment; "" for none. Raises ConfigurationError, without the token."""
    if token_file is None:
        text = os.environ.get("HF_TOKEN", "")
    else:
        try:
            with open(token_file, encoding="ascii") as file:
                text = file.read(TOKEN_BYTES_MAX)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not a token"
            raise ConfigurationError("--token-file", f"{token_file}: {why}") from None
    token = text.strip(" \t\r\n")
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigurationError("--token-file" if token_file else "HF_TOKEN", "is not a token")
    return token


async def _warm(order: Order, config: Config, node: str) -> int:
    failed = 0
    async with walking(order.jobs, certificate_to_trust(config, node)) as walk:
        for target in order.targets:
            try:
                wanted = await _wanted(walk, target, order, config, node)
            except NotWarmed as error:
                click.echo(f"edgeproxy: {target}: {error}", err=True)
                failed += 1
                continue
            if order.dry_run:
                _list(target, wanted)
                continue
            began = time.monotonic()
            with Bars(str(target), wanted) as bars:
                results = await walk.fetch(wanted, order.jobs, bars)
            failed += _summary(target, results, time.monotonic() - began)
    return 1 if failed else 0


async def _wanted(walk: Walk, target: Target, order: Order, config: Config, node: str) -> tuple[Wanted, ...]:
    if not isinstance(target, RepositoryTarget):
        return (Wanted(str(target), target.url(node)),)
    place = hub_place(config, target.site, node)
    commit, files = await walk.files(target, place, order.token)
    chosen = tuple(file for file in files if is_wanted(file.name, order.include, order.exclude))
    if not chosen:
        raise NotWarmed(f"none of the {len(files)} files of commit {commit} is chosen")
    return chosen


def _list(target: Target, wanted: Sequence[Wanted]) -> None:
    for file in wanted:
        size = "?" if file.size is None else cell("_bytes", file.size)
        click.echo(f"{size:>12}  {file.name}")
    total = sum(file.size or 0 for file in wanted)
    click.echo(f"{target}: {len(wanted)} files, {cell('_bytes', total)}")


def _summary(target: Target, results: Sequence[Ended], seconds: float) -> int:
    """Tells how it went; gives the number of files that could not be had."""
    failures = [ended for ended in results if ended.error]
    there = sum(ended.was_there for ended in results)
    received = sum(ended.received_bytes for ended in results)
    for ended in failures[:FAILURES_SHOWN]:
        click.echo(f"edgeproxy: {target}: {ended.wanted.name}: {ended.error}", err=True)
    if len(failures) > FAILURES_SHOWN:
        click.echo(f"edgeproxy: {target}: {len(failures) - FAILURES_SHOWN} more failed", err=True)
    click.echo(
        f"{target}: {len(results) - len(failures)} of {len(results)} files, {cell('_bytes', received)}"
        f" in {seconds:.1f} s, {there} were there already"
    )
    return len(failures)


class Bars:
    """A Watcher that draws on standard error: all together, and each file on its way. Nothing is drawn
    where that is no terminal."""

    def __init__(self, title: str, files: Sequence[Wanted]) -> None:
        console = Console(file=sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        known = [file.size for file in files if file.size is not None]
        total = sum(known) if len(known) == len(files) else None
        self._all = self._progress.add_task(_short(title), total=total)
        self._tasks: dict[str, TaskID] = {}
        self._seen: dict[str, int] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begun(self, wanted: Wanted) -> None:
        self._tasks[wanted.url] = self._progress.add_task(_short(wanted.name), total=wanted.size)
        self._seen[wanted.url] = 0

    def moved(self, wanted: Wanted, received_bytes: int, size: int | None) -> None:
        self._progress.update(self._tasks[wanted.url], completed=received_bytes, total=size)
        self._progress.advance(self._all, received_bytes - self._seen[wanted.url])
        self._seen[wanted.url] = received_bytes

    def ended(self, ended: Ended) -> None:
        self._progress.remove_task(self._tasks.pop(ended.wanted.url))
        left = (ended.wanted.size or 0) - self._seen.pop(ended.wanted.url)
        if ended.error and left > 0:
            self._progress.advance(self._all, left)


def _short(text: str) -> str:
    """Fits a narrow terminal; markup in a file name is not obeyed."""
    shown = text if len(text) <= 40 else f"...{text[-37:]}"
    return shown.replace("[", "(").replace("]", ")")
