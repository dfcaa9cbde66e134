"""The servers under test, one file each: configuration, start, stop. All are given one core and one worker.

A peer that is not installed raises Absent and is left out by name."""

from __future__ import annotations

from benchmarks.peers.direct import Direct
from benchmarks.peers.edgeproxy import Edgeproxy
from benchmarks.peers.haproxy import Haproxy
from benchmarks.peers.nginx import Nginx, nginx_with_slices
from benchmarks.peers.peer import Absent, Peer, Server, adjusted
from benchmarks.peers.squid import Squid
from benchmarks.peers.trafficserver import TrafficServer
from benchmarks.peers.varnish import Varnish

PEERS: dict[str, Peer] = {
    "edgeproxy": Edgeproxy(),
    "nginx": Nginx(),
    "nginx-plain": Nginx("nginx-plain", "nginx-plain: the same without open_file_cache, nginx's default", ""),
    "nginx-slice": nginx_with_slices("nginx-slice", "1m"),
    "nginx-slice-4m": nginx_with_slices("nginx-slice-4m", "4m"),
    "haproxy": Haproxy(),
    "varnish": Varnish(),
    "squid": Squid(),
    "squid-whole": Squid(name="squid-whole", is_whole=True),
    "trafficserver": TrafficServer(),
    "trafficserver-slice": TrafficServer("trafficserver-slice", "1m"),
    "direct": Direct(),
}

__all__ = [
    "PEERS",
    "Absent",
    "Direct",
    "Edgeproxy",
    "Haproxy",
    "Nginx",
    "Peer",
    "Server",
    "Squid",
    "TrafficServer",
    "Varnish",
    "adjusted",
]
