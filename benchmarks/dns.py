"""How many DNS questions does one core answer?"""

from __future__ import annotations

import argparse
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import dns.edns
import dns.message

from benchmarks import machine
from benchmarks.dns_peers import METHOD, STARTS
from benchmarks.peers import Absent, Server
from benchmarks.peers.peer import program
from benchmarks.report import Limit, Result, Table, median, ratio, spread
from benchmarks.running import scratch
from benchmarks.side_by_side import case, tell

LIMIT = 10_000
UNDER_WAY = 100
NAME = "www.cdn.example"
NETWORKS = 20_000
_SUBNET = "8:00011800514500"  # 81.69.0.0/24
Figures = dict[str, float]
Load = Callable[[Server, Path, int], Figures]


def by_dnsperf(lines: str, *options: str) -> Load:
    """A load of questions "name type", over and over."""

    def load(server: Server, directory: Path, seconds: int) -> Figures:
        file = directory / "questions"
        file.write_text(lines)
        address = urlsplit(server.url)
        argv = [program("dnsperf"), "-s", str(address.hostname), "-p", str(address.port), "-d", str(file)]
        argv += ["-l", str(seconds), "-T", "1", "-c", "4", "-q", str(UNDER_WAY), "-t", "2", *options]
        told = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
        return {
            "answers_per_second": _number(r"Queries per second:\s+([0-9.]+)", told),
            "lost": _number(r"Queries lost:\s+([0-9]+)", told),
            "mean_ms": 1000 * _number(r"Average Latency \(s\):\s+([0-9.]+)", told),
        }

    return load


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def many_networks(server: Server, directory: Path, seconds: int) -> Figures:
    """Questions for clients of that many networks; our own load, as dnsperf tells of one network only."""
    rng = random.Random(7)
    questions = []
    for number in range(NETWORKS):
        subnet = dns.edns.ECSOption(
            f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.0", 24
        )
        query = dns.message.make_query(NAME, "A", use_edns=0, payload=1232, options=[subnet], id=number)
        questions.append(query.to_wire())
    address = urlsplit(server.url)
    answered = lost = wrong = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        client.connect((address.hostname or "", address.port or 0))
        send, receive = client.send, client.recv
        for question in questions[:UNDER_WAY]:
            send(question)
        at, begun, end = UNDER_WAY, time.perf_counter(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            try:
                reply = receive(2048)
            except TimeoutError:
                lost += UNDER_WAY
                for question in questions[:UNDER_WAY]:
                    send(question)
                continue
            answered += 1
            wrong += reply[3] & 15 != 0 or reply[7] == 0
            send(questions[at])
            at = (at + 1) % NETWORKS
        taken = time.perf_counter() - begun
    rate = answered / taken
    return {"answers_per_second": rate, "lost": lost + wrong, "mean_ms": 1000 * UNDER_WAY / max(rate, 1)}


SCENARIOS: dict[str, Load] = {
    "one name, no EDNS": by_dnsperf(f"{NAME} A\n"),
    "one name, client subnet": by_dnsperf(f"{NAME} A\n", "-E", _SUBNET),
    f"one name, {NETWORKS} client subnets": many_networks,
    "names that do not exist": by_dnsperf(
        "".join(f"x{number}.cdn.example A\n" for number in range(50_000)), "-e"
    ),
}


def _measure(server: Server, load: Load, directory: Path, seconds: int) -> Figures:
    used, begun = server.cpu_seconds(), time.perf_counter()
    run = load(server, directory, seconds)
    return run | {"busy": (server.cpu_seconds() - used) / (time.perf_counter() - begun)}


def _rows(title: str, figures: dict[str, list[Figures]]) -> Table:
    ours = _per_core(figures.get("edgeproxy", []))
    rows = []
    for name, runs in figures.items():
        rates = [run["answers_per_second"] for run in runs]
        rows.append(
            [
                name,
                spread(rates),
                spread(_per_core(runs)),
                spread([run["mean_ms"] for run in runs], ".2f"),
                spread([100 * run["busy"] for run in runs]),
                f"{sum(run['lost'] for run in runs):.0f}",
                f"{ratio(ours, _per_core(runs)):.2f}" if ours else "-",
            ]
        )
    columns = ["server", "answers/s", "per busy core", "mean ms", "server busy %", "lost or wrong"]
    return Table([*columns, "edgeproxy / this"], rows, title)


def _per_core(runs: list[Figures]) -> list[float]:
    return [run["answers_per_second"] / max(run["busy"], 0.01) for run in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measured run (default 3)")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    result = Result(
        "dns",
        "How many DNS questions does one core answer?",
        [
            "All servers run at once on loopback, on one core; only one has load at a time. The load is on "
            f"another core, with {UNDER_WAY} questions under way.",
            f"{options.rounds} interleaved rounds of {options.seconds} s after 1 s of warming; figures are "
            "medians (least-greatest), ratios the median of the ratios of each round.",
            "Load: `dnsperf -T1 -c4`, for many client subnets a loop of our own. Per busy core is the rate "
            "divided by the share of its core that the server had; where it had less than all, the load was "
            "the limit. Ratios are of these.",
            *METHOD.values(),
        ],
    )
    with scratch() as directory:
        servers: dict[str, Server] = {}
        try:
            for name, start in STARTS.items():
                try:
                    servers[name] = start(directory / name)
                except Absent as reason:
                    result.skipped.append(f"{name}: {reason}".replace(str(directory), "..."))
            for title, load in SCENARIOS.items():
                _scenario(title, load, servers, directory, options, result)
            cases = [
                case(title, "answers/s", result.data[title], "answers_per_second")
                for title in SCENARIOS
                if title in result.data
            ]
            tell(result, "DNS answers,", cases)
        finally:
            for server in servers.values():
                server.stop()
    result.finish(options.dry)


def _scenario(
    title: str,
    load: Load,
    servers: dict[str, Server],
    directory: Path,
    options: argparse.Namespace,
    result: Result,
) -> None:
    figures: dict[str, list[Figures]] = {name: [] for name in servers}
    try:
        for server in servers.values():
            _measure(server, load, directory, 1)
        for _ in range(options.rounds):
            for name, server in servers.items():
                figures[name].append(_measure(server, load, directory, options.seconds))
                print(f"{title:36} {name:10} {figures[name][-1]}", flush=True)
    except Absent as reason:
        result.skipped.append(f"{title}: {reason}")
        result.limits.append(Limit(title, f">= {LIMIT}/s", "-", None))
        return
    result.data[title] = figures
    result.tables.append(_rows(title, figures))
    if ours := figures.get("edgeproxy"):
        rate = median([run["answers_per_second"] for run in ours])
        is_met = rate >= LIMIT and not sum(run["lost"] for run in ours)
        result.limits.append(Limit(title, f">= {LIMIT}/s, none lost", f"{rate:.0f}/s", is_met))


if __name__ == "__main__":
    main()
