"""`edgeproxy explain URL`: what the running node would do with a request, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeproxy.cli.admin_client import AdminClient
from edgeproxy.cli.options import admin_settings, administered, read
from edgeproxy.cli.rendering import sections, show
from edgeproxy.cli.warm_targets import as_asked


@click.command()
@administered
@click.argument("url")
@click.option("--method", default="GET", show_default=True)
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="The node's answer as it is.")
def explain(
    config_file: Path | None,
    settings: tuple[str, ...],
    admin: str | None,
    url: str,
    method: str,
    headers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Explain how the running node would answer URL (as a client sends it, a path, a URL of a hub, or
    hf:org/name): key, site, what is stored, the arithmetic of freshness, the decision and its reason."""
    config = read(config_file, settings)
    client = AdminClient(admin_settings(config, admin))
    query = [("url", as_asked(config, url)), ("method", method), *(("header", header) for header in headers)]
    content = client.get("/api/v1/explain", query)
    if as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        show(sections(content))
