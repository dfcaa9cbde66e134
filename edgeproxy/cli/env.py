"""`edgeproxy env`: variables that point clients at the node."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from edgeproxy.cli.environment import (
    CA_HELP,
    IMAGE_BUNDLE,
    SHELLS,
    in_image,
    node_url,
    proxied,
    proxy_url,
    rendered,
    variables,
)
from edgeproxy.cli.options import configured, read
from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError
from edgeproxy.proxy.places import ca_directory


@click.command()
@configured
@click.option("--shell", type=click.Choice(SHELLS), default="sh", show_default=True)
@click.option(
    "--url", metavar="URL", help="Where clients find the node, instead of listen.http or listen.https."
)
@click.option(
    "--mirror/--proxy",
    "is_mirror",
    default=True,
    help="Say where the node is instead of index and hub (the default), or have clients go through it.",
)
@click.option("--ca", metavar="FILE", type=click.Path(path_type=Path), help=CA_HELP)
def env(
    config_file: Path | None,
    settings: tuple[str, ...],
    shell: str,
    url: str | None,
    is_mirror: bool,
    ca: Path | None,
) -> None:
    """Print variables that point pip, uv and others at the node: eval "$(edgeproxy env)"."""
    config = read(config_file, settings)
    place = url or (node_url if is_mirror else proxy_url)(config.listen)
    if place is None:
        raise ConfigurationError("listen", "tells no port; say where clients find the node with --url")
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.netloc or not place.isprintable() or " " in place:
        raise click.UsageError("--url is written http://host:port or https://host")
    if shell == "uv.toml" and not is_mirror:
        raise click.UsageError("uv takes a proxy from variables only: --shell sh, or dotenv for a file")
    if ca is not None and is_mirror:
        raise click.UsageError("--ca goes with --proxy: a mirror is trusted like any other site")
    if not is_mirror and config.proxy.users and "@" not in parts.netloc:
        line = "clients have to show one of proxy.users: say --url http://NAME:PASSWORD@HOST:PORT"
        click.echo(f"edgeproxy: {line}", err=True)
    bundle = "" if is_mirror else _bundle(config, ca)
    before = in_image(bundle) if bundle and shell == "docker" else ""
    values = variables(config, place) if is_mirror else proxied(place, IMAGE_BUNDLE if before else bundle)
    try:
        click.echo(before + rendered(values, shell), nl=False)
    except KeyError as absent:
        raise click.UsageError(
            f"{shell} says where an index is ({absent.args[0]}), and no site here is one"
        ) from None


def _bundle(config: Config, ca: Path | None) -> str:
    """Whom clients of the proxy trust, brought up to date; "" while there is no authority."""
    directory = ca_directory(config)
    if ca is None and (config.proxy.intercept == "off" or not (directory / "ca.pem").exists()):
        return ""
    from edgeproxy.cli.node_authority import read_certificates
    from edgeproxy.proxy.bundle import write_bundle

    return str(write_bundle(directory, b"" if ca is None else read_certificates(ca)))
