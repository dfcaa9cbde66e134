"""How many redirects a second does the router give on one core?

Five nodes, the package's table of countries, Link fields and marks as by default. `one`: one client asks for
one file again and again. `known`: 500 clients ask for one of 100 files each. `wide`: 200 000 pairs of 20 000
clients and 1000 files, none of them a second time within ten seconds."""

from __future__ import annotations

import argparse
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import load, machine
from benchmarks.peers.peer import spawn
from benchmarks.report import Limit, Result, Table, spread
from benchmarks.running import scratch

CONNECTIONS = 64
REQUIRED = 20_000
FILES = 1000
PLACES = {
    "paris": (48.9, 2.4),
    "tokyo": (35.7, 139.7),
    "denver": (39.7, -105.0),
    "sydney": (-33.9, 151.2),
    "sao-paulo": (-23.5, -46.6),
}
LOADS = {"one": (1, 1, 1), "known": (500, 100, 500), "wide": (20_000, FILES, 200_000)}
_NETWORKS = (81, 85, 92, 151, 203, 133, 45, 62, 189, 41)

_SCRIPT = """
local requests, n = {}, 0
for line in io.lines("%s") do
  local client, target = line:match("(%%S+) (%%S+)")
  requests[#requests + 1] = "GET " .. target .. " HTTP/1.1\\r\\nHost: router.example\\r\\nX-Forwarded-For: "
    .. client .. "\\r\\nAccept: */*\\r\\n\\r\\n"
end
request = function() n = n %% #requests + 1; return requests[n] end
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _configuration(directory: Path, node: str) -> Path:
    """All nodes are one origin that tells a size: the router asks it once for each file."""
    lines = [
        '[listen]\nhttp = ["127.0.0.1:0"]\ntrusted_clients = ["127.0.0.0/8"]',
        '[admin]\nlisten = ""\n[log]\naccess = "off"',
        f'[router]\nsecret = "{"0123456789abcdef" * 2}"\nfacts_ttl = "1h"',
        '[router.health]\ninterval = "0s"',
        '[[site]]\nname = "files"\nmount = "/files"\norigin = "http://127.0.0.1:9"',
    ]
    lines += [
        f'[[router.node]]\nname = "{name}"\nurl = "{node}"\nlatitude = {place[0]}\nlongitude = {place[1]}'
        for name, place in PLACES.items()
    ]
    file = directory / "router.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


class Router:
    """The real program, pinned to the core of servers."""

    def __init__(self, directory: Path, node: str) -> None:
        program = "from edgeproxy.cli.main import main; main()"
        self._output = directory / "router.out"
        command = [sys.executable, "-c", program, "route", "--config", str(_configuration(directory, node))]
        self.process = spawn(command, self._output)
        end = time.monotonic() + 20
        while "ready http=" not in self._output.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(self._output.read_text()[-2000:])
            time.sleep(0.05)
        self.url = "http://" + self._output.read_text().partition("ready http=")[2].split()[0]

    def cpu_seconds(self) -> float:
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def _pairs(clients: int, files: int, count: int) -> list[str]:
    """Lines "address target", drawn with a fixed seed."""
    draw = random.Random(5)
    addresses = [
        f"{draw.choice(_NETWORKS)}.{draw.randrange(120)}.{draw.randrange(250)}.9"
        for _ in range(min(clients, 20_000))
    ]
    return [f"{addresses[n % len(addresses)]} /files/{draw.randrange(files)}" for n in range(count)]


def _measure(router: Router, directory: Path, name: str, seconds: int) -> dict[str, float]:
    pairs, script = directory / f"{name}.txt", directory / f"{name}.lua"
    pairs.write_text("\n".join(_pairs(*LOADS[name])) + "\n")
    script.write_text((Path(__file__).with_name("wrk.lua")).read_text() + _SCRIPT % pairs)
    used = router.cpu_seconds()
    done = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{seconds}s",
            "--timeout",
            "20s",
            "-s",
            str(script),
            router.url,
        ],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
        preexec_fn=lambda: machine.pin(machine.load_core()),
    )
    run = load.parse_wrk(done.stdout + done.stderr)
    return {
        "requests_per_second": run.requests_per_second,
        "busy": (router.cpu_seconds() - used) / run.seconds,
        "p50_us": run.p50_us,
        "p99_us": run.p99_us,
        "failures": float(run.failures),
    }


def _learn(router: Router) -> None:
    """Ask for every file once, so that the router knows their sizes: a load that comes before would measure
    how it asks nodes for them."""
    host, _, port = router.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    for number in range(FILES):
        connection.request("GET", f"/files/{number}", headers={"X-Forwarded-For": "81.2.69.142"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 302:
            raise RuntimeError(f"/files/{number} is answered with {answer.status}")
    connection.close()


_NODE = """
import asyncio
class Node(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.held = transport, b""
    def data_received(self, data):
        self.held += data
        while b"\\r\\n\\r\\n" in self.held:
            _, _, self.held = self.held.partition(b"\\r\\n\\r\\n")
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 52428800\\r\\nETag: \\"" + b"ab" * 32
                + b"\\"\\r\\nX-Repo-Commit: " + b"c" * 40 + b"\\r\\nAccept-Ranges: bytes\\r\\n\\r\\n")
async def main():
    server = await asyncio.get_running_loop().create_server(Node, "127.0.0.1", %d)
    await server.serve_forever()
asyncio.run(main())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=4, help="of each measured run (default 4)")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    result = Result(
        "redirects",
        "How many redirects a second does the router give on one core?",
        [
            f"`wrk -t1 -c{CONNECTIONS}` on one core, `edgeproxy route` on the other, five nodes; the "
            "client's address comes by X-Forwarded-For from a trusted peer. Access log off.",
            f"{options.rounds} rounds of {options.seconds} s; figures are medians (least-greatest). Per "
            "busy core: redirects a second of processor time, as a core that does nothing else would give.",
            "one: one client, one file. known: 500 clients with a file each. wide: 200 000 pairs of 20 000 "
            "clients and 1000 files.",
        ],
    )
    with scratch() as directory:
        port = _free_port()
        node = subprocess.Popen([sys.executable, "-c", _NODE % port])
        router = Router(directory, f"http://127.0.0.1:{port}")
        try:
            _learn(router)
            figures: dict[str, list[dict[str, float]]] = {name: [] for name in LOADS}
            for _ in range(options.rounds):
                for name in LOADS:
                    figures[name].append(_measure(router, directory, name, options.seconds))
                    run = figures[name][-1]
                    print(
                        f"{name:6} {run['requests_per_second']:8.0f}/s busy {run['busy']:.0%} "
                        f"p99 {run['p99_us']:.0f} us failed {run['failures']:.0f}",
                        flush=True,
                    )
        finally:
            router.stop()
            node.terminate()
            node.wait(10)
    rows = [
        [
            name,
            spread([run["requests_per_second"] for run in runs]),
            spread([run["requests_per_second"] / run["busy"] for run in runs if run["busy"]]),
            spread([100 * run["busy"] for run in runs]),
            spread([run["p99_us"] / 1000 for run in runs], ".2f"),
            f"{sum(run['failures'] for run in runs):.0f}",
        ]
        for name, runs in figures.items()
    ]
    columns = ["load", "redirects/s", "per busy core", "busy %", "p99 ms", "failed"]
    result.tables.append(Table(columns, rows, "redirects"))
    for name, runs in figures.items():
        rates = sorted(run["requests_per_second"] / run["busy"] for run in runs if run["busy"])
        rate = rates[len(rates) // 2]
        what = f"redirects a second of one core's time, {name}"
        result.limits.append(Limit(what, f">= {REQUIRED}", f"{rate:.0f}", rate >= REQUIRED))
    result.data.update(figures)
    result.finish(options.dry)


if __name__ == "__main__":
    main()
