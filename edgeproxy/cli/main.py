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

# Each is a module of this package with a function of its name, which tells more; here is what fits a line.
_COMMANDS = {
    "serve": "Serve until SIGTERM or SIGINT, then finish running answers.",
    "check": "Validate the configuration; show what each site maps to.",
    "status": "Show what the running node is, holds and has answered.",
    "ls": "Show what the running node has stored.",
    "explain": "Explain how the running node would answer a URL, and why.",
    "purge": "Invalidate what the running node has stored.",
    "reload": "Take over a changed configuration; no connection is dropped.",
    "warm": "Fetch through the node, so that it has what will be asked for.",
    "env": "Print variables that point pip, uv and others at the node.",
    "route": "Send clients to the nearest healthy node, until SIGTERM.",
    "where": "Tell where the running router would send a client, and why.",
    "run": "Run a command through the node: edgeproxy run -- pip ...",
    "ca": "The local authority, for https hosts that sites know.",
    "intercept": "Turn connections of clients to the transparent listener.",
    "bench": "Measure side by side with the caches that are installed.",
    "simulate": "Tell from an access log what other caches had answered.",
}


class _Commands(click.Group):
    """Loads a command when it is asked for: most need libraries that the others have no use for. To list
    them none is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"edgeproxy.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


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
