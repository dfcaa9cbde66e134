"""How long do pip, uv and huggingface_hub take over a slow link, and how long through a node beside them?"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.hub import Hub
from benchmarks.hub_models import Models
from benchmarks.index import Index
from benchmarks.link import Distance, LinkProcess
from benchmarks.peers import Absent, Edgeproxy
from benchmarks.report import Limit, Plot, Result, Series, Table, median, ratio, spread
from benchmarks.running import scratch
from benchmarks.tools import Ran, Tool, hub_client, installers

WAYS = ("direct", "first time", "second time", "no distance")
FIRST_MOST = 1.1
SECOND_LEAST = 3.0
NEAR_MOST = 1.25  # of what the tool takes with no distance at all
SITES = """
[[site]]
name = "packages"
kind = "python-index"
mount = "/index"
index = "{index}/simple/"

[[site]]
name = "models"
kind = "huggingface"
mount = "/models"
endpoint = "{hub}"
"""


@dataclass(frozen=True, slots=True)
class Scale:
    wheels: int
    least_bytes: int
    most_bytes: int
    shards: int
    shard_bytes: int
    rounds: int
    distance: Distance
    without: tuple[str, ...] = ()
    """Tools that are left out."""

    @property
    def models(self) -> Models:
        return Models(1, self.shards, self.shard_bytes)


FULL = Scale(
    wheels=20,
    least_bytes=1 << 20,
    most_bytes=8 << 20,
    shards=4,
    shard_bytes=16 << 20,
    rounds=3,
    distance=Distance(rtt=0.04, rate_down=12.5e6, rate_up=12.5e6, window=4 << 20),
)
QUICK = Scale(
    wheels=4,
    least_bytes=64 << 10,
    most_bytes=256 << 10,
    shards=2,
    shard_bytes=512 << 10,
    rounds=1,
    distance=Distance(rtt=0.02, rate_down=12.5e6, rate_up=12.5e6, window=4 << 20),
    without=("pip install",),  # a command of it takes a second of the processor, whatever it fetches
)


@dataclass(frozen=True, slots=True)
class There:
    """An index and a hub, and where they are reached from here."""

    index: Index
    hub: Hub
    index_url: str
    hub_url: str
    cdn_url: str

    def direct(self, tool: Tool) -> str:
        return self.index_url if tool.is_index else self.hub_url

    @contextlib.contextmanager
    def beside(self, tool: Tool) -> Iterator[str]:
        """Where `tool` asks with no distance in between, to the hub's delivery network neither."""
        self.hub.send_to(f"http://{self.hub.cdn_address}")
        yield self.index.url if tool.is_index else self.hub.url
        self.hub.send_to(self.cdn_url)


@contextlib.contextmanager
def far_away(scale: Scale) -> Iterator[There]:
    with (
        Index(scale.wheels, scale.least_bytes, scale.most_bytes) as index,
        Hub(scale.models) as hub,
        LinkProcess(index.address, scale.distance) as to_index,
        LinkProcess(hub.address, scale.distance) as to_hub,
        LinkProcess(hub.cdn_address, scale.distance, listen="127.0.0.2:0") as to_cdn,
    ):
        hub.send_to(to_cdn.url)
        yield There(index, hub, to_index.url, to_hub.url, to_cdn.url)


Round = dict[str, Ran]


def measure_round(directory: Path, there: There, tools: Sequence[Tool]) -> dict[str, Round]:
    """Each way once for each tool, the first time from a node that has nothing of what the tool asks for: at
    most one of them asks the index, and one the hub. Raises Absent."""
    found: dict[str, Round] = {
        tool.name: {"direct": tool.run(there.direct(tool), directory / "direct")} for tool in tools
    }
    sites = SITES.format(index=there.index_url, hub=there.hub_url)
    server = Edgeproxy(more=sites).start(directory / "node", there.index_url)
    try:
        for tool in tools:
            url = server.url + ("/index" if tool.is_index else "/models")
            for way in ("first time", "second time"):
                found[tool.name][way] = tool.run(url, directory / "through")
    finally:
        server.stop()
    for tool in tools:
        with there.beside(tool) as url:
            found[tool.name]["no distance"] = tool.run(url, directory / "beside")
    return found


def groups(tools: Sequence[Tool]) -> list[list[Tool]]:
    """Tools that may share a node: with each that asks the index, one that does not."""
    indexed, others = [tool for tool in tools if tool.is_index], [tool for tool in tools if not tool.is_index]
    pairs = itertools.zip_longest(indexed, others)
    return [[tool for tool in pair if tool is not None] for pair in pairs]


# -- telling ---------------------------------------------------------------------------------------


def _seconds(rounds: Sequence[Round], way: str) -> list[float]:
    return [found[way].seconds for found in rounds]


def _row(tool: Tool, rounds: Sequence[Round]) -> list[str]:
    seconds = {way: _seconds(rounds, way) for way in WAYS}
    return [
        tool.name,
        tool.what,
        *(spread(seconds[way], ".2f") for way in WAYS),
        f"{ratio(seconds['direct'], seconds['first time']):.2f}",
        f"{ratio(seconds['direct'], seconds['second time']):.1f}",
    ]


def _limits(tool: Tool, rounds: Sequence[Round], *, judged: bool) -> list[Limit]:
    seconds = {way: _seconds(rounds, way) for way in WAYS}
    first = ratio(seconds["first time"], seconds["direct"])
    second = ratio(seconds["direct"], seconds["second time"])
    near = ratio(seconds["second time"], seconds["no distance"])
    return [
        Limit(
            f"{tool.name}, first time against direct",
            f"<= {FIRST_MOST:g}x the time",
            f"{first:.2f}x",
            first <= FIRST_MOST if judged else None,
        ),
        Limit(
            f"{tool.name}, second time against direct",
            f">= {SECOND_LEAST:g}x faster, or <= {NEAR_MOST:g}x the time with no distance",
            f"{second:.1f}x faster, {near:.2f}x the time",
            second >= SECOND_LEAST or near <= NEAR_MOST if judged else None,
        ),
    ]


def _method(scale: Scale, tools: Sequence[Tool]) -> list[str]:
    far = scale.distance
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("pip", "uv", "huggingface_hub")
        if importlib.util.find_spec(name)
    )
    sizes = "; ".join(f"{tool.name}: {tool.what}" for tool in tools)
    return [
        "A stand-in index and a stand-in hub with its delivery network (benchmarks/index.py, hub.py) are "
        f"{far.rtt * 1000:.0f} ms of round trip away at {far.rate_down * 8 / 1e6:.0f} Mbit/s "
        "(benchmarks/wire.py). The index gives metadata beside its wheels; the hub does not offer Xet.",
        f"The tools themselves ({versions}) are run as commands, each time with an empty home and no cache "
        f"of their own; the figure is the wall time of the command, installing included. {sizes}. What is "
        "asked for requires other projects, and those further ones. Afterwards every file is compared with "
        "its SHA-256.",
        "direct: the tool asks the far server. first time: through a node with an empty store beside the "
        "tool. second time: once more through that node. no distance: the server itself beside the tool, "
        "which is the least that a command takes.",
        f"{scale.rounds} round(s) of each tool by each way, a new node in each; medians (least-greatest), "
        "ratios within rounds. Tools, links and servers share one core, the node has the other.",
        "edgeproxy: default configuration with a python-index and a huggingface site, one worker.",
    ]


def _tell(result: Result, told: Sequence[tuple[Tool, list[Round]]], *, judged: bool) -> None:
    columns = ["tool", "what", *(f"{way} s" for way in WAYS), "direct / first", "direct / second"]
    result.tables.append(Table(columns, [_row(tool, rounds) for tool, rounds in told]))
    series = [
        Series(way, [(tool.name, median(_seconds(rounds, way))) for tool, rounds in told]) for way in WAYS
    ]
    result.plots.append(Plot("Wall time of real tools over a slow link", "bars", "", "s", series))
    samples: dict[str, list[float]] = {}
    for tool, rounds in told:
        result.limits += _limits(tool, rounds, judged=judged)
        for way in WAYS:
            samples[f"{tool.name}, {way} s"] = _seconds(rounds, way)
            problems = sorted({found[way].problem for found in rounds if found[way].problem})
            result.failures += [f"{tool.name}, {way}: {problem}" for problem in problems]
    result.data["samples"] = samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    with scratch() as directory, far_away(scale) as there:
        tools = [*installers(there.index.projects), hub_client(scale.models)]
        sharing = groups([tool for tool in tools if not tool.absent and tool.name not in scale.without])
        able = [tool for group in sharing for tool in group]
        result = Result("real_clients", __doc__ or "", _method(scale, able))
        result.skipped += [f"{tool.name}: {tool.absent}" for tool in tools if tool.absent]
        if options.quick:
            result.method.append("Quick: one round of few small files, without pip; limits are not judged.")
        rounds: dict[str, list[Round]] = {tool.name: [] for tool in able}
        try:
            for number, group in itertools.product(range(scale.rounds), sharing):
                place = directory / f"{number}-{sharing.index(group)}"
                for name, found in measure_round(place, there, group).items():
                    rounds[name].append(found)
        except Absent as reason:
            result.failures.append(str(reason))
    told = [(tool, rounds[tool.name]) for tool in able if rounds[tool.name]]
    if told:
        _tell(result, told, judged=not options.quick)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
