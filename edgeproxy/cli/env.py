"""`edgeproxy env`: variables that point clients at the node."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from edgeproxy.cli.environment import SHELLS, node_url, rendered, variables
from edgeproxy.cli.options import configured, read
from edgeproxy.errors import ConfigurationError


@click.command()
@configured
@click.option("--shell", type=click.Choice(SHELLS), default="sh", show_default=True)
@click.option(
    "--url", metavar="URL", help="Where clients find the node, instead of listen.http or listen.https."
)
def env(config_file: Path | None, settings: tuple[str, ...], shell: str, url: str | None) -> None:
    """Print variables that point pip, uv and others at the node: eval "$(edgeproxy env)"."""
    config = read(config_file, settings)
    place = url or node_url(config.listen)
    if place is None:
        raise ConfigurationError("listen", "tells no port; say where clients find the node with --url")
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.netloc or not place.isprintable() or " " in place:
        raise click.UsageError("--url is written http://host:port or https://host")
    click.echo(rendered(variables(config, place), shell), nl=False)
