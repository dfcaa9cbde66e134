"""`edgeproxy`: the group of commands, and how they end."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import edgeproxy
from edgeproxy.errors import ConfigurationError, EdgeError

# Each is a module of this package with a function of its name.
_COMMANDS = (
    *("serve", "check", "status", "ls", "explain", "purge", "reload", "warm", "env"),
    *("route", "where", "run", "ca", "intercept", "bench", "simulate"),
)


class _Commands(click.Group):
    """Loads a command when it is asked for: most need libraries that the others have no use for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"edgeproxy.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgeproxy.__version__, prog_name="edgeproxy")
def commands() -> None:
    """A caching reverse proxy for the edge: packages, model files and API responses from near by."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 it could not be done, 2 wrong usage or configuration."""
    try:
        ended = commands.main(args=None if arguments is None else list(arguments), standalone_mode=False)
        status_code = ended if isinstance(ended, int) else 0
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        status_code = error.exit_code
    except ConfigurationError as error:
        status_code = _failed(error, 2)
    except EdgeError as error:
        status_code = _failed(error, 1)
    except (click.Abort, KeyboardInterrupt):
        status_code = 130
    except BrokenPipeError:
        # Whoever read our output has gone; without this the interpreter complains when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status_code = 1
    sys.exit(status_code)


def _failed(error: EdgeError, status_code: int) -> int:
    click.echo(f"edgeproxy: {error}", err=True)
    return status_code


if __name__ == "__main__":
    main()
