"""`edgeproxy ca`: the local authority, for clients to trust."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeproxy.cli.options import configured, read
from edgeproxy.config import Config
from edgeproxy.errors import EdgeError
from edgeproxy.proxy.places import ca_directory

if TYPE_CHECKING:
    from edgeproxy.proxy.authority import Authority

# What reads and makes certificates is loaded by these commands only, when they run.

SYSTEMS = ("debian", "fedora", "macos", "docker", "python")


@click.group()
def ca() -> None:
    """The local authority, with which https hosts that sites know are answered by the node itself."""


def _place(config_file: Path | None, settings: tuple[str, ...]) -> tuple[Config, Path]:
    config = read(config_file, settings)
    return config, ca_directory(config)


def _known(directory: Path) -> Authority:
    from edgeproxy.proxy import authority as authorities

    found = authorities.load(directory)
    if found is None:
        raise EdgeError(f"there is no authority in {directory}; make one with `edgeproxy ca init`")
    return found


@ca.command()
@configured
def init(config_file: Path | None, settings: tuple[str, ...]) -> None:
    """Make the authority, if there is none yet."""
    from edgeproxy.proxy import authority as authorities
    from edgeproxy.proxy.bundle import write_bundle

    config, directory = _place(config_file, settings)
    was_there = authorities.load(directory) is not None
    made = authorities.ensure(directory, time.time(), config.proxy.ca_names)
    write_bundle(directory)
    click.echo(_described(made, directory, "kept" if was_there else "made"), nl=False)


@ca.command()
@configured
def show(config_file: Path | None, settings: tuple[str, ...]) -> None:
    """Say what the authority is and where."""
    _, directory = _place(config_file, settings)
    click.echo(_described(_known(directory), directory, "kept"), nl=False)


@ca.command()
@configured
@click.option("--format", "form", type=click.Choice(["pem", "der"]), default="pem", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file instead of standard output.")
def export(config_file: Path | None, settings: tuple[str, ...], form: str, output: Path | None) -> None:
    """Write the certificate (never the key)."""
    found = _known(_place(config_file, settings)[1])
    _written(found.pem if form == "pem" else found.der, output)


@ca.command()
@configured
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file instead of standard output.")
def bundle(config_file: Path | None, settings: tuple[str, ...], output: Path | None) -> None:
    """Write the public roots with the authority, for variables that replace what a client trusts."""
    from edgeproxy.proxy.authority import trusted
    from edgeproxy.proxy.bundle import bundle as bundled

    directory = _place(config_file, settings)[1]
    _known(directory)
    _written(bundled(trusted(directory)), output)


@ca.command()
@configured
def rotate(config_file: Path | None, settings: tuple[str, ...]) -> None:
    """Make a new authority. The former certificate stays in the bundle; clients have to trust the new one."""
    from edgeproxy.proxy import authority as authorities
    from edgeproxy.proxy.bundle import write_bundle

    config, directory = _place(config_file, settings)
    _known(directory)
    made = authorities.make(time.time(), config.proxy.ca_names)
    authorities.keep(directory, made)
    write_bundle(directory)
    click.echo(_described(made, directory, "made"), nl=False)


@ca.command()
@configured
@click.argument("system", type=click.Choice(SYSTEMS))
def install(config_file: Path | None, settings: tuple[str, ...], system: str) -> None:
    """Print how a machine is told to trust the authority."""
    directory = _place(config_file, settings)[1]
    _known(directory)
    click.echo(instructions(system, directory), nl=False)


def instructions(system: str, directory: Path) -> str:
    """Lines for a shell, each that is not one behind a "#"."""
    pem, whole = directory / "ca.pem", directory / "bundle.pem"
    match system:
        case "debian":
            lines = [
                f"cp {pem} /usr/local/share/ca-certificates/edgeproxy.crt",
                "update-ca-certificates",
            ]
        case "fedora":
            lines = [f"cp {pem} /etc/pki/ca-trust/source/anchors/edgeproxy.pem", "update-ca-trust"]
        case "macos":
            keychain = "/Library/Keychains/System.keychain"
            lines = [f"security add-trusted-cert -d -r trustRoot -k {keychain} {pem}"]
        case "docker":
            lines = [
                f"# beside the Dockerfile: cp {pem} edgeproxy.crt; then, in an image of Debian or Ubuntu:",
                "# COPY edgeproxy.crt /usr/local/share/ca-certificates/",
                "# RUN update-ca-certificates",
                "# ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                "# ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt",
            ]
        case _:
            lines = [
                "# pip, requests, httpx and huggingface_hub do not look where the system does:",
                *(f"export {name}={whole}" for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")),
            ]
    return "".join(f"{line}\n" for line in lines)


def _described(found: Authority, directory: Path, how: str) -> str:
    certificate = found.certificate
    names = ", ".join(found.names) or "all names"
    return (
        f"{how}: {directory / 'ca.pem'}\n"
        f"subject: {certificate.subject.rfc4514_string()}\n"
        f"sha256: {found.fingerprint}\n"
        f"valid until: {certificate.not_valid_after_utc:%Y-%m-%d}\n"
        f"speaks for: {names}\n"
        "clients trust it by: edgeproxy ca install "
        f"{'|'.join(SYSTEMS)}, or edgeproxy run -- COMMAND\n"
    )


def _written(data: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise EdgeError(f"{output}: {error.strerror}") from None
