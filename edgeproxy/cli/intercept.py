"""`edgeproxy intercept`: have the firewall turn connections to the node (Linux, nftables)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import click

from edgeproxy.address import Address, parse_address
from edgeproxy.cli.options import Command, configured, read
from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError, EdgeError
from edgeproxy.proxy.firewall import WAYS, Turning, Way, printed, removal, routes, script, without_routes

_SECONDS = 20
_WHERE = {"nft": "nftables", "ip": "iproute2"}  # packages that bring the programs


@click.group()
def intercept() -> None:
    """Turn connections of clients that know nothing of the node to listen.transparent."""


def _chosen(command: Command) -> Command:
    way = click.option(
        "--by",
        "way",
        type=click.Choice(WAYS),
        default="redirect",
        show_default=True,
        help="Change where connections go, or take them as they are (tproxy: the node needs CAP_NET_ADMIN).",
    )
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
    return configured(way(interface(user(command))))


@intercept.command("print")
@_chosen
def print_(
    config_file: Path | None, settings: tuple[str, ...], way: Way, interfaces: tuple[str, ...], user: str
) -> None:
    """Print the rules, for `nft -f`."""
    click.echo(printed(_turning(read(config_file, settings), way, interfaces, user)), nl=False)


@intercept.command()
@_chosen
def apply(
    config_file: Path | None, settings: tuple[str, ...], way: Way, interfaces: tuple[str, ...], user: str
) -> None:
    """Put the rules in force, in place of former ones (root)."""
    turning = _turning(read(config_file, settings), way, interfaces, user)
    nft = _program("nft")
    _undo_routes()
    try:
        for name, *arguments in routes(turning):
            _done([_program(name), *arguments])
        _done([nft, "-f", "-"], script(turning))
    except EdgeError:
        _undo_routes()
        raise


@intercept.command()
def remove() -> None:
    """Take the rules away (root)."""
    _done([_program("nft"), "-f", "-"], removal())
    _undo_routes()


def _turning(config: Config, way: Way, interfaces: tuple[str, ...], user: str) -> Turning:
    """To the first port that is listened at, in the families in which it is."""
    found: list[Address] = []
    for text in config.listen.transparent:
        address = parse_address(text)
        if address.path or not address.port:
            continue
        if not address.is_wildcard:
            raise ConfigurationError(
                "listen.transparent",
                f'{text}: the firewall turns to any address; listen at "0.0.0.0:{address.port}"',
            )
        found.append(address)
    if not found:
        raise ConfigurationError("listen.transparent", 'names no port to turn to, such as "0.0.0.0:3129"')
    port = found[0].port
    families = {"ipv6" if ":" in address.host else "ipv4" for address in found if address.port == port}
    return Turning(port, sorted(config.proxy.ports), interfaces, user, way, sorted(families))


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _program(name: str) -> str:
    program = _found(name)
    if program is None:
        raise EdgeError(f"{name} is not installed (package {_WHERE[name]})")
    if os.geteuid() != 0:
        raise EdgeError("only root may change the firewall; see `edgeproxy intercept print`")
    return program


def _undo_routes() -> None:
    """What is not there cannot be taken away, which is no trouble."""
    for name, *arguments in without_routes():
        program = _found(name)
        if program is not None:
            _run([program, *arguments])


def _done(command: list[str], text: str = "") -> None:
    done = _run(command, text)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if line.strip()), "it gives no reason")
        what = "the rules" if text else " ".join(command[1:])
        raise EdgeError(f"{command[0]} refuses {what}: {said}")


def _run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgeError(f"{command[0]}: {error}") from None
