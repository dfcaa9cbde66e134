"""`edgeproxy where IP [URL]`: which node a running router would send a client to, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeproxy.cli.admin_client import AdminClient
from edgeproxy.cli.options import admin_settings, administered, read


@click.command()
@administered
@click.argument("ip")
@click.argument("url", default="")
@click.option("--json", "as_json", is_flag=True, help="The router's answer as it is.")
def where(
    config_file: Path | None,
    settings: tuple[str, ...],
    admin: str | None,
    ip: str,
    url: str,
    as_json: bool,
) -> None:
    """Tell where the running router would send a client at IP who asks for URL (a path there, or any object):
    every candidate with what is believed of it, who is refused and why, and the decision."""
    from edgeproxy.router.explanation import lines  # its libraries are needed by this command only

    client = AdminClient(admin_settings(read(config_file, settings), admin))
    content = client.get("/route/explain", [("ip", ip), ("url", url)])
    if as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        click.echo("\n".join(lines(content)))
