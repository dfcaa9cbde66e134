"""`edgeproxy intercept`: have the firewall turn connections to the node (Linux, nftables)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import click

from edgeproxy.address import parse_address
from edgeproxy.cli.options import Command, configured, read
from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError, EdgeError
from edgeproxy.proxy.firewall import Turning, removal, script

_SECONDS = 20


@click.group()
def intercept() -> None:
    """Turn connections of clients that know nothing of the node to listen.transparent."""


def _chosen(command: Command) -> Command:
    interface = click.option(
        "--interface", "interfaces", multiple=True, help="Only what comes in there; may be repeated."
    )
    user = click.option(
        "--local-except",
        "user",
        default="",
        metavar="USER",
        help="This machine's own connections too, but for those of the user the node runs as.",
    )
    return configured(interface(user(command)))


@intercept.command("print")
@_chosen
def print_(
    config_file: Path | None, settings: tuple[str, ...], interfaces: tuple[str, ...], user: str
) -> None:
    """Print the rules, for `nft -f`."""
    click.echo(script(_turning(read(config_file, settings), interfaces, user)), nl=False)


@intercept.command()
@_chosen
def apply(
    config_file: Path | None, settings: tuple[str, ...], interfaces: tuple[str, ...], user: str
) -> None:
    """Put the rules in force, in place of former ones (root)."""
    _nft(script(_turning(read(config_file, settings), interfaces, user)))


@intercept.command()
def remove() -> None:
    """Take the rules away (root)."""
    _nft(removal())


def _turning(config: Config, interfaces: tuple[str, ...], user: str) -> Turning:
    for text in config.listen.transparent:
        address = parse_address(text)
        if address.path or not address.port:
            continue
        if not address.is_wildcard:
            raise ConfigurationError(
                "listen.transparent",
                f'{text}: the firewall turns to any address; listen at "0.0.0.0:{address.port}"',
            )
        return Turning(address.port, sorted(config.proxy.ports), interfaces, user)
    raise ConfigurationError("listen.transparent", 'names no port to turn to, such as "0.0.0.0:3129"')


def _nft(text: str) -> None:
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise EdgeError("nft is not installed (package nftables)")
    if os.geteuid() != 0:
        raise EdgeError("only root may change the firewall; see `edgeproxy intercept print`")
    try:
        done = subprocess.run(
            [program, "-f", "-"], input=text, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgeError(f"{program}: {error}") from None
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if line.strip()), "it gives no reason")
        raise EdgeError(f"{program} refuses the rules: {said}")
