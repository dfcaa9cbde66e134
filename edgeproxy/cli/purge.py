"""`edgeproxy purge`: invalidate what the running node has stored."""

from __future__ import annotations

from pathlib import Path

import click

from edgeproxy.cli.admin_client import AdminClient
from edgeproxy.cli.options import admin_settings, administered, read


@click.command()
@administered
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--site", metavar="NAME", help="What this site stored.")
@click.option("--url", metavar="URL", help="One upstream URL, every variant.")
@click.option("--prefix", metavar="URL", help="Every upstream URL that starts so.")
@click.option("--tag", metavar="TAG", help="What bears this tag (surrogate key).")
@click.option("--soft", is_flag=True, help="Make stale instead of a miss.")
def purge(
    config_file: Path | None,
    settings: tuple[str, ...],
    admin: str | None,
    everything: bool,
    site: str | None,
    url: str | None,
    prefix: str | None,
    tag: str | None,
    soft: bool,
) -> None:
    """Invalidate stored responses of the running node, running fills included."""
    given = {"site": site, "url": url, "prefix": prefix, "tag": tag}
    chosen = [(scope, value) for scope, value in given.items() if value is not None]
    if everything:
        chosen.append(("all", ""))
    if len(chosen) != 1:
        raise click.UsageError("give exactly one of --all, --site, --url, --prefix, --tag")
    client = AdminClient(admin_settings(read(config_file, settings), admin))
    ((scope, value),) = chosen
    client.post("/api/v1/purge", {"scope": scope, "value": value, "soft": soft})
    click.echo(f"{'made stale' if soft else 'purged'}: {scope}{' ' if value else ''}{value}")
