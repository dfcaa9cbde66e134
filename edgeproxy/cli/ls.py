"""`edgeproxy ls`: what the running node has stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import orjson
from rich.text import Text

from edgeproxy.cli import inventory
from edgeproxy.cli.admin_client import AdminClient, Unanswered
from edgeproxy.cli.options import admin_settings, administered, read
from edgeproxy.cli.rendering import rows as table
from edgeproxy.cli.rendering import show
from edgeproxy.cli.warm_targets import RepositoryTarget, UrlTarget, hub_settings, parse_target
from edgeproxy.config import Config
from edgeproxy.errors import EdgeError

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
@click.option("--json", "as_json", is_flag=True, help="One row of the node's list a line, as JSON.")
def ls(
    config_file: Path | None, settings: tuple[str, ...], admin: str | None, what: str, as_json: bool
) -> None:
    """Show what the running node has stored.

    Without WHAT: how much from where. With hf, or the name of another hub's site: its repositories and
    their revisions. With hf:org/name, or hf:org/name@COMMIT: files. With a URL: what begins with it."""
    config = read(config_file, settings)
    client = AdminClient(admin_settings(config, admin))
    prefix, repository, commit = _meaning(config, what)
    rows = stored(client, prefix)
    if repository:
        rows = inventory.files(rows, repository, commit)
        if not rows:
            raise NotStored(f"nothing of {what} is stored")
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(msgspec.to_builtins(row)).decode("utf-8"))
        return
    now = time.time()
    if repository:
        _print(inventory.row_table(rows, now, keys=False))
    elif what and _is_url(what):
        _print(inventory.row_table(rows, now, keys=True))
    elif what:
        _print(inventory.revision_table(inventory.revisions(rows), now))
    else:
        _print(inventory.place_table(inventory.places(rows), now))


def _is_url(what: str) -> bool:
    return what.startswith(("http://", "https://"))


def _meaning(config: Config, what: str) -> tuple[str, str, str]:
    """The prefix of cache keys to list, and the repository and commit to show ("" for all)."""
    if not what or _is_url(what):
        return what, "", ""
    if ":" not in what:
        return _origin(config, what), "", ""
    try:
        target = parse_target(what)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if isinstance(target, UrlTarget):
        return what, "", ""
    return _origin(config, target.site), target.repository.web, _commit(what, target)


def _commit(what: str, target: RepositoryTarget) -> str:
    if "@" not in what:
        return ""
    if not set(target.revision) <= set("0123456789abcdef"):
        raise click.UsageError("what is stored is known by commits: write @ and the beginning of one")
    return target.revision


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
        if page.after <= after:
            break
        after = page.after
    raise Unanswered("the node's list has no end")


def _print(lines: list[dict[str, object]]) -> None:
    show(table(lines) if lines else Text("nothing is stored"))
