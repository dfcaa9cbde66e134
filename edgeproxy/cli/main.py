"""`edgeproxy`: the group of commands, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import edgeproxy
from edgeproxy.cli import (
    ca,
    check,
    env,
    explain,
    intercept,
    ls,
    purge,
    reload,
    route,
    run,
    serve,
    status,
    warm,
)
from edgeproxy.errors import ConfigurationError, EdgeError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgeproxy.__version__, prog_name="edgeproxy")
def commands() -> None:
    """A caching reverse proxy for the edge: packages, model files and API responses from near by."""


_COMMANDS = (
    *(serve.serve, check.check, status.status, ls.ls, explain.explain),
    *(purge.purge, reload.reload, warm.warm, env.env, route.route),
    *(run.run, ca.ca, intercept.intercept),
)
for _command in _COMMANDS:
    commands.add_command(_command)


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
