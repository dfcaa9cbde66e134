"""`edgeproxy route replay LOG`: what each policy would have done with the questions of a log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from edgeproxy.cli.options import configured, read
from edgeproxy.cli.rendering import rows, show
from edgeproxy.config import Config

POLICIES = ("geo-rtt", "geo", "round-robin", "least-connections")


@click.command()
@configured
@click.argument("log", type=click.File("rb"))
@click.option("--policy", "policies", multiple=True, type=click.Choice(POLICIES), help="May be repeated.")
def replay(config_file: Path | None, settings: tuple[str, ...], log: Any, policies: tuple[str, ...]) -> None:
    """Ask every policy (or those named) what it would have done with each line of LOG: decisions, or an
    access log in JSON. Nodes, coverage and tables are those of the configuration; no node is asked."""
    from edgeproxy.router.replay import replay as replayed  # its libraries are needed by this command only

    found = asyncio.run(_mapped(read(config_file, settings)))
    keeper = found.keeper
    outcome = replayed(
        log, keeper.snapshot, lambda address, bits: keeper.client(address, bits=bits), policies or POLICIES
    )
    click.echo(
        f"{outcome.lines} lines: {outcome.unusable} unusable, {outcome.unknown_nodes} of unknown nodes, "
        f"{outcome.others} between nodes and routers"
    )
    for number, why in outcome.errors:
        click.echo(f"line {number}: {why}", err=True)
    counts = {
        "answered": [one.answered for one in outcome.outcomes],
        "to origin": [one.to_origin for one in outcome.outcomes],
        "unanswered": [one.unanswered for one in outcome.outcomes],
        "not as logged": [one.beside_log.different for one in outcome.outcomes],
    }
    show(
        rows(
            {
                "policy": one.policy,
                # Columns without anything in them would leave the others no room on a terminal.
                **{name: found[place] for name, found in counts.items() if any(found)},
                "expected ms": round(one.expected_ms, 1),
                "by node": one.by_node,
            }
            for place, one in enumerate(outcome.outcomes)
        )
    )


async def _mapped(config: Config) -> Any:
    """The map as of now, without anything that runs."""
    from edgeproxy.metrics import Metrics
    from edgeproxy.route_map import RouteMap
    from edgeproxy.tasks import Tasks

    route_map = RouteMap(
        config,
        tasks=Tasks(lambda name, error: None),
        metrics=Metrics(),
        clock=time.time,
        report=lambda line: click.echo(line, err=True),
    )
    await route_map.geo.load()
    route_map.configure(config)
    return route_map
