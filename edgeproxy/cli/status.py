"""`edgeproxy status`: what the running node is and holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeproxy.cli.admin_client import AdminClient
from edgeproxy.cli.options import admin_settings, administered, read
from edgeproxy.cli.rendering import sections, show


@click.command()
@administered
@click.option("--json", "as_json", is_flag=True, help="The node's answer as it is.")
def status(config_file: Path | None, settings: tuple[str, ...], admin: str | None, as_json: bool) -> None:
    """Show what the running node is, holds and has answered."""
    content = AdminClient(admin_settings(read(config_file, settings), admin)).get("/api/v1/status")
    if as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        show(sections(content))
