"""No cache at all: the origin as the client would reach it without a node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.peer import Server


@dataclass(frozen=True, slots=True)
class Direct:
    name: str = "direct"
    method: str = "direct: the client asks the origin itself"

    def refuses(self, size: int) -> str:
        return "it is no cache"

    def start(self, directory: Path, origin: str) -> Server:
        return Server(self.name, origin, None)
