"""`edgeproxy reload`: have the running node read its configuration again, or be replaced by a new process."""

from __future__ import annotations

from pathlib import Path

import click

from edgeproxy.cli.admin_client import AdminClient
from edgeproxy.cli.options import admin_settings, administered, read


@click.command()
@administered
@click.option("--exec", "restart", is_flag=True, help="Start the program anew; it takes over at once.")
def reload(config_file: Path | None, settings: tuple[str, ...], admin: str | None, restart: bool) -> None:
    """Take over a changed configuration without dropping a connection."""
    client = AdminClient(admin_settings(read(config_file, settings), admin), timeout_seconds=90.0)
    answer = client.post("/api/v1/reload", {"exec": restart})
    if restart:
        click.echo(f"restarted: process {answer.get('pid')}")
        return
    changed, later = answer.get("changed", []), answer.get("needs_restart", [])
    click.echo(f"reloaded: {', '.join(changed) if changed else 'nothing has changed'}")
    if later:
        click.echo(f"needs a restart (edgeproxy reload --exec): {', '.join(later)}")
