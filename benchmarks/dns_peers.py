"""The name servers under test: one zone, the same names, each on one core with one thread."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.peer import Server, free_port, program, spawn, wait_until_open

_GDNSD = """\
options => {{
  listen => [127.0.0.1:{port}]
  udp_threads => 1
  tcp_threads => 1
  run_dir => {directory}/run
  state_dir => {directory}/state
  max_edns_response => 1232
}}
plugins => {{ geoip => {{
  maps => {{ world => {{ datacenters => [{sites}], nets => {{
{nets}
  }} }} }}
  resources => {{ www => {{ map => world, dcmap => {{ {addresses} }} }} }}
}} }}
"""
_GDNSD_ZONE = """\
@ SOA ns1 hostmaster 1 3600 600 604800 60
@ NS ns1
ns1 A 192.0.2.53
www 60 DYNA geoip!www
"""
SITES = 5


def start_ours(directory: Path) -> Server:
    directory.mkdir(parents=True)
    port, log = free_port(), directory / "log"
    argv = [sys.executable, "-m", "benchmarks.dns_server", "--port", str(port)]
    return wait_until_open(Server("edgeproxy", f"dns://127.0.0.1:{port}", spawn(argv, log)), log)


def start_gdnsd(directory: Path) -> Server:
    executable = program("gdnsd")
    for name in ("zones", "run", "state"):
        (directory / name).mkdir(parents=True)
    port, log = free_port(), directory / "log"
    sites = [chr(ord("a") + number) for number in range(SITES)]
    nets = [
        f"    {number}.0.0.0/8 => [{', '.join(sites[number % SITES :] + sites[: number % SITES])}]"
        for number in range(1, 224)
    ]
    configuration = _GDNSD.format(
        port=port,
        directory=directory,
        sites=", ".join(sites),
        nets="\n".join(nets),
        addresses=", ".join(f"{name} => 192.0.2.{number + 1}" for number, name in enumerate(sites)),
    )
    (directory / "config").write_text(configuration)
    (directory / "zones" / "cdn.example").write_text(_GDNSD_ZONE)
    process = spawn([executable, "-c", str(directory), "start"], log)
    return wait_until_open(Server("gdnsd", f"dns://127.0.0.1:{port}", process), log)


STARTS = {"edgeproxy": start_ours, "gdnsd": start_gdnsd}
METHOD = {
    "edgeproxy": "edgeproxy: the DNS router alone in a process, five nodes, the embedded country table as "
    "its map (half a million ranges), two addresses where two nodes are near; the limit on alike answers is "
    "kept account of but set out of reach.",
    "gdnsd": "gdnsd: geoip plugin, five sites, 223 networks in its map, one UDP thread, one address.",
}
