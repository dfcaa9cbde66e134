"""`edgeproxy simulate`: what other cache sizes and evictions would have made of an access log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

import click
import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from edgeproxy.cli.rendering import cell, pairs, show
from edgeproxy.cli.rendering import rows as table
from edgeproxy.configuration.units import parse_size
from edgeproxy.errors import EdgeError
from edgeproxy.simulation import tiers
from edgeproxy.simulation.optimum import LIMITS_MEANT
from edgeproxy.simulation.reading import Account, read
from edgeproxy.simulation.replay import KINDS, UNLIMITED, Outcome, outcomes
from edgeproxy.simulation.tiers import Tier
from edgeproxy.simulation.trace import REQUESTS_MAX, Gathering, Trace

SHARES = (0.01, 0.03, 0.1, 0.3)  # of the bytes of all objects: the sizes simulated if none is told
ASSUMED = (
    "every cache begins empty; objects are told apart by site (or host) and URL, not by variant",
    "an object is as large as the most that one answer for it was sent, and is kept whole, forever",
    "parts (206) taken by one client within a minute of each other are one request for all their bytes",
    "HEAD and 304 are uses that are sent no bytes",
    *LIMITS_MEANT,
)
"""What the figures rest on, told with them."""


class NothingToSimulate(EdgeError):
    """No line of the log was a request that a cache could have answered."""


class _Size(click.ParamType[int]):
    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            size = parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return size or self.fail("a cache of 0 bytes keeps nothing", param, ctx)


SIZE = _Size()


@click.command()
@click.option(
    "--log",
    "logs",
    metavar="FILE",
    type=click.File("rb"),
    multiple=True,
    required=True,
    help="JSON or combined format, also of gzip; - for standard input. May be repeated, oldest first.",
)
@click.option("--memory", type=SIZE, multiple=True, help="Size of a RAM tier to simulate. May be repeated.")
@click.option("--disk", type=SIZE, multiple=True, help="Size of a disk tier to simulate. May be repeated.")
@click.option(
    "--memory-body", type=SIZE, default="1MiB", show_default=True, help="Largest body in the RAM tier."
)
@click.option(
    "--eviction", "kinds", multiple=True, type=click.Choice(KINDS), help="May be repeated; unset, all."
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=REQUESTS_MAX,
    show_default=True,
    metavar="N",
    help="Simulate the last N requests of a longer log; sets how much memory is needed.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
def simulate(
    logs: tuple[IO[bytes], ...],
    memory: tuple[int, ...],
    disk: tuple[int, ...],
    memory_body: int,
    kinds: tuple[str, ...],
    requests: int,
    as_json: bool,
) -> None:
    """Which share of the requests in an access log would caches of other sizes, or with other evictions, have
    answered? Tells object and byte hit ratio of each tier by itself. Without --memory and --disk: disk tiers
    of 1, 3, 10 and 30 % of the bytes of all objects."""
    gathering = Gathering(requests)
    account = read([(_name(log), log) for log in logs], gathering)
    trace = gathering.trace()
    if not trace.numbers:
        raise NothingToSimulate(_why_nothing(account))
    for line in _complaints(account):
        click.echo(line, err=True)
    if not memory and not disk:
        disk = tuple(_rounded(trace.footprint * share) for share in SHARES)
    wanted = [(tiers.ram(memory_body), memory), (tiers.DISK, disk)]
    chosen = [(tier, sorted(set(sizes))) for tier, sizes in wanted if sizes]
    found = list(_simulated(trace, chosen, tuple(dict.fromkeys(kinds)) or KINDS))
    if as_json:
        said = {"log": _facts(account, trace), "assumed": ASSUMED, "outcomes": [asdict(one) for one in found]}
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode("utf-8"))
        return
    show(Group(pairs(_facts(account, trace)), *_tables(found), *(Text(f"- {line}") for line in ASSUMED)))


def _simulated(
    trace: Trace, chosen: Sequence[tuple[Tier, Sequence[int]]], kinds: Sequence[str]
) -> Iterator[Outcome]:
    found = (one for tier, sizes in chosen for one in outcomes(trace, tier, sizes, kinds))
    if not sys.stderr.isatty():
        yield from found
        return
    count = sum(len(sizes) * len(kinds) + 1 for _, sizes in chosen)
    with click.progressbar(found, length=count, label="simulating", file=sys.stderr) as bar:
        yield from bar


def _name(log: IO[bytes]) -> str:
    name = getattr(log, "name", "")
    return name if isinstance(name, str) and name not in ("", "<stdin>") else "standard input"


def _rounded(size: float) -> int:
    """About `size`, with two digits that count, as a person would write it."""
    unit = 1 << 10 * max(0, (int(size).bit_length() - 1) // 10)
    number = size / unit
    return max(1, round(number * unit) if number < 10 else round(number) * unit)


def _why_nothing(account: Account) -> str:
    if not account.lines:
        return "; ".join(["the log is empty", *account.troubles])
    first = f"; the first: {account.examples[0]}" if account.examples else ""
    return (
        f"no line is a GET or HEAD answered with 200, 206 or 304 from a site: of {account.lines:,} lines "
        f"{account.other:,} are others and {account.unreadable:,} cannot be read{first}"
    )


def _complaints(account: Account) -> Iterator[str]:
    yield from account.troubles
    if account.unreadable:
        yield f"{account.unreadable:,} of {account.lines:,} lines cannot be read and are left out; the first:"
        yield from (f"  {example}" for example in account.examples)


def _facts(account: Account, trace: Trace) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "lines": account.lines,
        "used": account.used,
        "not_for_a_cache": account.other,
        "unreadable": account.unreadable,
        "from": account.first,
        "to": account.last,
        "requests": len(trace.numbers),
        "requests_before_those": trace.dropped,
        "objects": trace.objects,
        "sent_bytes": sum(trace.bytes),
        "all_objects_bytes": trace.footprint,
    }
    if account.judged:
        facts["hits_as_logged_ratio"] = account.from_store / account.judged
    return facts


def _tables(found: Sequence[Outcome]) -> Iterator[RenderableType]:
    for tier in dict.fromkeys(one.tier for one in found):
        of_tier = [one for one in found if one.tier == tier]
        for what, ratio in (("object", "object_hit_ratio"), ("byte", "byte_hit_ratio")):
            yield Text(f"\n{tier} tier, {what} hit ratio", style="bold")
            yield table(_rows(of_tier, ratio))
            kept = [getattr(one, ratio) for one in of_tier if one.eviction == UNLIMITED]
            yield Text(f"{cell('_ratio', kept[0])} with no limit: what was asked for before")
    yield Text("")


def _rows(of_tier: Sequence[Outcome], ratio: str) -> Iterator[Mapping[str, Any]]:
    """One for each eviction; the columns are sizes."""
    for kind in dict.fromkeys(one.eviction for one in of_tier if one.eviction != UNLIMITED):
        ratios = {one.capacity: getattr(one, ratio) for one in of_tier if one.eviction == kind}
        yield {"eviction": kind} | {
            cell("_bytes", capacity): cell("_ratio", value) for capacity, value in ratios.items()
        }
