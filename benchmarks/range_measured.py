"""All rounds of ranges of a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.range_costs import Random, Transfer


@dataclass
class Measured:
    """All rounds of one server; first bytes in milliseconds by rate of the origin and by kind of object."""

    random: list[Random] = field(default_factory=list)
    parallel: list[dict[str, Transfer]] = field(default_factory=list)
    first: dict[tuple[int, str], list[float]] = field(default_factory=dict)

    @property
    def was_stopped(self) -> bool:
        return any(run.fetching.unfinished for run in self.random)

    def add_first_bytes(self, rate: int, times: dict[str, list[float]]) -> None:
        for kind, values in times.items():
            self.first.setdefault((rate, kind), []).extend(values)

    def told(self) -> str:
        """The last round in a line."""
        last, transfers = self.random[-1], self.parallel[-1]
        speeds = " ".join(f"{way} {it.bytes_per_second / 1e6:.0f} MB/s" for way, it in transfers.items())
        return (
            f"{speeds}; random {last.fetching.seconds:.1f} s, origin "
            f"{last.cost.origin_bytes / last.cost.asked_bytes:.2f} of what was asked for, again "
            f"{last.again_ratio}; {[*last.fetching.problems[:1], *last.again_problems[:1]]}"
        )


def missing(run: Random) -> int:
    return len(run.fetching.problems) + run.fetching.unfinished


def speeds_of(measured: Measured) -> tuple[list[float], list[float]]:
    """MB/s of each round: plain, in ranges."""
    plain, parts = (
        [transfers[way].bytes_per_second / 1e6 for transfers in measured.parallel]
        for way in ("plain", "ranges")
    )
    return plain, parts
