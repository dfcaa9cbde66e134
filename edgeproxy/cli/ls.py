"""`edgeproxy ls`: what the running node has stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click
import msgspec
import orjson
from rich.text import Text

from edgeproxy.cli import inventory
from edgeproxy.cli.admin_client import AdminClient, Unanswered
from edgeproxy.cli.environment import certificate_to_trust, node_url
from edgeproxy.cli.options import admin_settings, administered, read
from edgeproxy.cli.rendering import rows as table
from edgeproxy.cli.rendering import show
from edgeproxy.cli.warm import hub_token
from edgeproxy.cli.warm_targets import RepositoryTarget, UrlTarget, hub_place, hub_settings, parse_target
from edgeproxy.cli.warm_walk import Wanted, walking
from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError, EdgeError

PAGE_ROWS = 1000
PAGES_MAX = 10_000


class NotStored(EdgeError):
    """Nothing of what was asked for is stored."""


class _Page(msgspec.Struct, frozen=True):
    """An answer of the admin API: rows in the order of their keys, and where to go on ("" at the end)."""

    rows: tuple[inventory.Row, ...]
    after: str = ""


@click.command()
@administered
@click.argument("what", default="")
@click.option(
    "--missing",
    is_flag=True,
    help="With hf:org/name@REVISION: also files that are not stored; the node is asked for the listing.",
)
@click.option("--url", metavar="URL", help="For --missing: where the node is, instead of [listen].")
@click.option("--json", "as_json", is_flag=True, help="One row of the node's list a line, as JSON.")
def ls(
    config_file: Path | None,
    settings: tuple[str, ...],
    admin: str | None,
    what: str,
    missing: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Show what the running node has stored.

    Without WHAT: how much from where. With hf, or the name of another hub's site: its repositories and
    their revisions. With hf:org/name, or hf:org/name@COMMIT: files. With a URL: what begins with it."""
    config = read(config_file, settings)
    client = AdminClient(admin_settings(config, admin))
    asked = _asked(config, what)
    if missing:
        rows = _with_missing(config, client, asked, url)
    else:
        rows = _chosen(client, asked, what)
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(msgspec.to_builtins(row)).decode("utf-8"))
        return
    lines = _lines(asked, rows, time.time())
    show(table(lines) if lines else Text("nothing is stored"))


class _Asked(NamedTuple):
    """The prefix of cache keys to list, the kind of table, and the repository whose files are shown."""

    prefix: str
    shows: Literal["places", "revisions", "keys", "files"]
    target: RepositoryTarget | None = None
    has_revision: bool = False


def _asked(config: Config, what: str) -> _Asked:
    if not what or _is_url(what):
        return _Asked(what, "keys" if what else "places")
    if ":" not in what:
        return _Asked(_origin(config, what), "revisions")
    try:
        target = parse_target(what)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if isinstance(target, UrlTarget):
        raise click.UsageError(f"{what!r} is neither a hub's repository nor a URL")
    return _Asked(_origin(config, target.site), "files", target, "@" in what)


def _chosen(client: AdminClient, asked: _Asked, what: str) -> Sequence[inventory.Row]:
    """Raises NotStored for a repository of which there is nothing."""
    if asked.target is None:
        return stored(client, asked.prefix)
    commit = asked.target.revision if asked.has_revision else ""
    if not set(commit) <= set("0123456789abcdef"):
        raise click.UsageError("what is stored is known by commits: write @ and the beginning of one")
    rows = inventory.files(stored(client, asked.prefix), asked.target.repository.web, commit)
    if not rows:
        raise NotStored(f"nothing of {what} is stored")
    return rows


def _with_missing(
    config: Config, client: AdminClient, asked: _Asked, url: str | None
) -> Sequence[inventory.Row]:
    target, node = asked.target, url or node_url(config.listen)
    if target is None:
        raise click.UsageError("--missing needs hf:org/name")
    if node is None:
        raise ConfigurationError("listen", "tells no port; say where the node is with --url")
    place = hub_place(config, target.site, node)

    async def listed() -> tuple[str, tuple[Wanted, ...]]:
        async with walking(1, certificate_to_trust(config, node)) as walk:
            return await walk.files(target, place, hub_token(None))

    commit, wanted = asyncio.run(listed())
    rows = inventory.files(stored(client, asked.prefix), target.repository.web, commit)
    return inventory.against_listing(rows, ((file.name, file.size or 0) for file in wanted), commit)


def _lines(asked: _Asked, rows: Sequence[inventory.Row], now: float) -> list[dict[str, Any]]:
    match asked.shows:
        case "places":
            return inventory.place_table(inventory.places(rows), now)
        case "revisions":
            return inventory.revision_table(inventory.revisions(rows), now)
        case shows:
            return inventory.row_table(rows, now, keys=shows == "keys")


def _is_url(what: str) -> bool:
    return what.startswith(("http://", "https://"))


def _origin(config: Config, name: str) -> str:
    return hub_settings(config, name).endpoint.rstrip("/") + "/"


def stored(client: AdminClient, prefix: str) -> Sequence[inventory.Row]:
    """Every row whose key begins with `prefix`. Raises Unanswered."""
    found: list[inventory.Row] = []
    after = ""
    for _ in range(PAGES_MAX):
        query = [("prefix", prefix), ("after", after), ("limit", str(PAGE_ROWS))]
        try:
            page = msgspec.convert(client.get("/api/v1/ls", query), _Page)
        except msgspec.ValidationError as error:
            raise Unanswered(f"the node's list is not understood: {error}") from None
        found += page.rows
        if not page.after:
            return found
        if page.after == after:
            break
        after = page.after
    raise Unanswered("the node's list has no end")
