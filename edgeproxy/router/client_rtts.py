"""How far clients are, by what their connections measured: the least round trip of each, gathered by prefix.

A connection is looked at when it ends, and a long one now and then; its requests cost nothing. Addresses of
private networks are left out, since routers can make nothing of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeproxy.router.announcement import ROUND_TRIPS_MAX, RoundTrip
from edgeproxy.router.client import folded, is_private, parse, prefix_of
from edgeproxy.router.tcp_info import least_rtt

SAMPLES_MAX = 32  # of one prefix between two reports: enough for a middle
KNOWN_MAX = 4096
RTT_MS_LEAST, RTT_MS_MOST = 0.001, 30_000.0  # 1 us is the least a kernel tells


@dataclass(slots=True)
class _Gathered:
    samples: list[float]
    connections: int = 0


class ClientRtts:
    """Bounded: at most `prefixes_max` prefixes between two reports. `all_addresses` also measures private
    ones, where an operator has mapped them."""

    def __init__(
        self,
        *,
        prefixes_max: int = ROUND_TRIPS_MAX,
        all_addresses: bool = False,
        read: Callable[[socket.socket | None], float | None] = least_rtt,
    ) -> None:
        self._prefixes_max = prefixes_max
        self._all_addresses = all_addresses
        self._read = read
        self._gathered: dict[str, _Gathered] = {}
        self._prefixes: dict[str, str | None] = {}  # by what tells them: reading an address takes 20 us

    def __len__(self) -> int:
        return len(self._gathered)

    def ended(self, peer: str, connection: socket.socket | None) -> None:
        """A connection of `peer` ends, or has served for a while."""
        prefix = self._prefix(peer)
        if prefix is None:
            return
        found = self._gathered.get(prefix)
        if found is None:
            if len(self._gathered) >= self._prefixes_max:
                return
        elif len(found.samples) >= SAMPLES_MAX:
            found.connections += 1
            return
        rtt = self._read(connection)
        if rtt is None or not RTT_MS_LEAST <= rtt <= RTT_MS_MOST:
            return
        if found is None:
            found = self._gathered[prefix] = _Gathered([])
        found.samples.append(rtt)
        found.connections += 1

    def heard(self, told: Iterable[RoundTrip]) -> None:
        """What another process of this node has `taken`: its middle stands for as many samples."""
        for one in told:
            found = self._gathered.get(one.prefix)
            if found is None:
                if len(self._gathered) >= self._prefixes_max:
                    continue
                found = self._gathered[one.prefix] = _Gathered([])
            found.samples += [one.rtt] * min(one.connections, SAMPLES_MAX - len(found.samples))
            found.connections += one.connections

    def _prefix(self, peer: str) -> str | None:
        """The prefix of an address, None if it is not measured; remembered for a /24 or an IPv6 address."""
        known = peer if ":" in peer else peer.rpartition(".")[0]
        try:
            return self._prefixes[known]
        except KeyError:
            if len(self._prefixes) >= KNOWN_MAX:
                self._prefixes.clear()
            found = self._prefixes[known] = self._read_prefix(peer)
            return found

    def _read_prefix(self, peer: str) -> str | None:
        address = parse(peer)
        if address is None:
            return None
        address = folded(address)
        if is_private(address) and not self._all_addresses:
            return None
        return str(prefix_of(address))

    def taken(self) -> list[RoundTrip]:
        """What is to be told; then it begins anew. The middle of the samples stands for a prefix: a least of
        leasts would be that of the one client with the best line."""
        gathered, self._gathered = self._gathered, {}
        return [
            RoundTrip(prefix, round(sorted(found.samples)[len(found.samples) // 2], 3), found.connections)
            for prefix, found in gathered.items()
        ]
