"""Nodes below nodes: origin, parents and an edge, each at its distance."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.link import Distance, LinkProcess
from benchmarks.origin import Origin
from benchmarks.peers import Edgeproxy, Server

FAR, REGIONAL = 0.1, 0.02
GBIT = 125e6


@dataclass(frozen=True, slots=True)
class Parent:
    """A running parent and the link to it."""

    server: Server
    link: LinkProcess

    @property
    def url(self) -> str:
        """Where clients beside it ask: its site is served under names only."""
        return self.server.url.replace("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Chain:
    """`to_origin` is the edge's own link to the origin, past all parents."""

    edge: Server
    parents: list[Parent]
    to_origin: LinkProcess


def distance(rtt: float, rate: float = GBIT, window: int = 4 << 20) -> Distance:
    """A path of the internet as seen by hosts with the usual 4 MiB of buffers a connection."""
    return Distance(rtt=rtt, rate_down=rate, rate_up=rate, window=window)


@contextlib.contextmanager
def chained(
    directory: Path,
    origin: Origin,
    *,
    parents: Sequence[Distance] = (),
    origin_distance: Distance | None = None,
    http2: str = "auto",
    more: str = "",
) -> Iterator[Chain]:
    """An edge with a parent at each of the distances, the first preferred; all of them as far from the
    origin. `more` are sections of the edge's configuration. Raises Absent."""
    far = origin_distance or distance(FAR)
    with contextlib.ExitStack() as stack:
        to_origin = stack.enter_context(LinkProcess(origin.address, far))
        running = []
        for number, near in enumerate(parents):
            above = stack.enter_context(LinkProcess(origin.address, far))
            server = Edgeproxy(hosts=(to_origin.address, "localhost")).start(
                directory / f"parent{number}", above.url
            )
            stack.callback(server.stop)
            address = server.url.removeprefix("http://")
            running.append(Parent(server, stack.enter_context(LinkProcess(address, near))))
        tables = [
            f'\n[[parent]]\nname = "p{number}"\nurl = {json.dumps(parent.link.url)}\nsites = ["*"]\n'
            f'preference = {number}\nhttp2 = "{http2}"\n'
            for number, parent in enumerate(running)
        ]
        edge = Edgeproxy(more="".join(tables) + more).start(directory / "edge", to_origin.url)
        stack.callback(edge.stop)
        yield Chain(edge, running, to_origin)
