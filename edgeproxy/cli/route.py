"""`edgeproxy route`: run a router until it is told to end."""

from __future__ import annotations

from pathlib import Path

import click

from edgeproxy import garbage
from edgeproxy.cli.options import configured, read
from edgeproxy.cli.route_replay import replay
from edgeproxy.config import Config
from edgeproxy.configuration.source import wait_settled


@click.group(invoke_without_command=True, commands={"replay": replay})
@configured
@click.pass_context
def route(context: click.Context, config_file: Path | None, settings: tuple[str, ...]) -> int:
    """Send clients to the nearest healthy node, until SIGTERM or SIGINT."""
    if context.invoked_subcommand is not None:
        return 0

    def again() -> Config:
        if config_file is not None:
            wait_settled(config_file)
        return read(config_file, settings)

    config = read(config_file, settings)
    # The router's libraries are needed by this command only.
    with garbage.none_while_loading():
        from edgeproxy.process import route as route_clients
    return route_clients(config, again)
