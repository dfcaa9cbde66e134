"""What processes under test use: processor time, memory, bytes read and written, their children included.

    outcome = run(Plan(..., watched={"edgeproxy": server.process.pid}))
    outcome.used["edgeproxy"].cpu, outcome.used["edgeproxy"].peak_bytes

in the span that is measured, or at any other time

    watch = Watch({"edgeproxy": server.process.pid})
    before = watch.sample(); ...; used = watch.used(before)

From /proc, so of Linux; elsewhere everything is told as 0. What a child did that has ended and been waited
for is counted with its parent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one name, at one moment. `written_bytes` and `read_bytes` went to and came from a disk;
    `peak_bytes` is the sum of the most that each process ever had resident; `waited_seconds` is how long
    their main threads had work to do while somebody else had the core."""

    at: float
    processes: int
    cpu_seconds: float
    waited_seconds: float
    resident_bytes: int
    peak_bytes: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class Used:
    """Between two samples. `cpu` is processor time by wall time: 1.0 is one core. `waited` is the share of
    the time in which it would have worked on, had nobody else had its core: latencies are then those of the
    machine."""

    seconds: float
    cpu_seconds: float
    waited_seconds: float
    resident_bytes: int
    peak_bytes: int
    grown_bytes: int
    read_bytes: int
    written_bytes: int

    @property
    def cpu(self) -> float:
        return self.cpu_seconds / self.seconds if self.seconds > 0 else 0.0

    @property
    def waited(self) -> float:
        return self.waited_seconds / self.seconds if self.seconds > 0 else 0.0


class Watch:
    """Of the processes named, each by the process that it began with."""

    def __init__(self, pids: Mapping[str, int], proc: Path = _PROC) -> None:
        self._pids = dict(pids)
        self._proc = proc

    def sample(self) -> dict[str, Sample]:
        return {name: sample(pid, self._proc) for name, pid in self._pids.items()}

    def used(self, before: Mapping[str, Sample]) -> dict[str, Used]:
        """Since `before`, by name."""
        return {name: between(before[name], after) for name, after in self.sample().items()}


def between(before: Sample, after: Sample) -> Used:
    return Used(
        after.at - before.at,
        max(0.0, after.cpu_seconds - before.cpu_seconds),
        max(0.0, after.waited_seconds - before.waited_seconds),
        after.resident_bytes,
        after.peak_bytes,
        after.resident_bytes - before.resident_bytes,
        max(0, after.read_bytes - before.read_bytes),
        max(0, after.written_bytes - before.written_bytes),
    )


def sample(pid: int, proc: Path = _PROC) -> Sample:
    """A process and its children now. What has ended meanwhile counts as nothing."""
    found = [_one(one, proc) for one in family(pid, proc)]
    processes = [one for one in found if one is not None]
    sums = [sum(column) for column in zip(*processes, strict=True)] or [0, 0, 0, 0, 0, 0]
    ticks, waited, resident, peak, read, written = sums
    cpu = ticks / os.sysconf("SC_CLK_TCK")
    return Sample(monotonic(), len(processes), cpu, waited / 1e9, resident, peak, read, written)


def family(pid: int, proc: Path = _PROC) -> list[int]:
    """The process and all below it."""
    pids = [pid]
    for one in pids:
        for children in (proc / str(one) / "task").glob("*/children"):
            pids += [int(child) for child in _text(children).split() if int(child) not in pids]
    return pids


def _one(pid: int, proc: Path) -> tuple[int, int, int, int, int, int] | None:
    """Ticks, nanoseconds waited, resident, peak, read and written bytes of one process, None if gone."""
    place = proc / str(pid)
    fields = _text(place / "stat").rpartition(")")[2].split()
    if len(fields) < 15:
        return None
    # User and system time of its own, then of the children it has waited for (proc(5), fields 14 to 17).
    ticks = sum(int(field) for field in fields[11:15])
    status, io = _values(_text(place / "status")), _values(_text(place / "io"))
    waited = _text(place / "schedstat").split()[1:2]  # the main thread: run, waited (ns), slices
    return (
        ticks,
        int(waited[0]) if waited else 0,
        status.get("VmRSS", 0) << 10,
        status.get("VmHWM", 0) << 10,
        io.get("read_bytes", 0),
        io.get("write_bytes", 0),
    )


def _values(text: str) -> dict[str, int]:
    """Lines of a name and a number; those of other kinds are left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdecimal():
            found[name] = int(words[0])
    return found


def _text(path: Path) -> str:
    """Empty for what has ended, or is not ours to read."""
    try:
        return path.read_text()
    except OSError:
        return ""
