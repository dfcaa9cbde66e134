"""Options that several commands take."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from edgeproxy.address import Address, parse_address
from edgeproxy.config import Admin, Config
from edgeproxy.configuration.source import load
from edgeproxy.errors import ConfigurationError

Command = Callable[..., Any]


def configured(command: Command) -> Command:
    """Adds --config and --set, as `config_file` and `settings`."""
    file = click.option(
        "--config",
        "config_file",
        metavar="FILE",
        envvar="EDGEPROXY_CONFIG",
        type=click.Path(path_type=Path),
        help="TOML file; without it everything has its default.",
    )
    several = click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change one key, e.g. cache.disk=100GiB or site.pypi.mount=/; may be repeated.",
    )
    return file(several(command))


def administered(command: Command) -> Command:
    """Adds --config, --set and --admin, for commands that ask a running node."""
    where = click.option(
        "--admin", "admin", metavar="HOST:PORT", help="The node's admin listener, instead of admin.listen."
    )
    return configured(where(command))


def read(config_file: Path | None, settings: Sequence[str]) -> Config:
    """Raises ConfigurationError."""
    return load(config_file, settings, os.environ)


def admin_settings(config: Config, admin: str | None) -> Admin:
    """Where the running node's admin listener is, and its token."""
    settings = config.admin
    if admin is not None:
        admin = admin.removeprefix("http://").rstrip("/")  # as people copy it from a browser
        _parse("--admin", admin)
        return Admin(listen=admin, token=settings.token)
    if not settings.listen:
        raise ConfigurationError("admin.listen", "is switched off; say where to ask with --admin HOST:PORT")
    address = _parse("admin.listen", settings.listen)
    if not address.path and address.port == 0:
        raise ConfigurationError("admin.listen", "has port 0; say where to ask with --admin HOST:PORT")
    return settings


def _parse(name: str, text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise ConfigurationError(name, str(error)) from None
