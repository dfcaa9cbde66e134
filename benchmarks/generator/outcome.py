"""What came of a load."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from benchmarks.generator.histogram import Histogram
from benchmarks.generator.watch import Used

LATE_MS = 5.0
FULLY_BUSY = 0.95


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` is the span measured, after warming. `requests` are the right answers to what was due (of a
    closed loop: asked for) in it, whenever they came; `failed` are all others, by kind in `errors`, and
    `wrong` those among them with a wrong byte or length. `completed` and `bytes` (of bodies) are what came
    within the span, whenever it was due: the rates. `unchecked` answers were to paths that bodies.py does
    not know, so that only their status and their end could be told.

    `latency` and `first_byte` are of right answers only, from when they were due; `lag` is how much later
    than due the generator itself came to each request of an open loop; `beyond` is latency without the
    emulated round trip, empty where none was. `busy` is the generator's share of its core, `waited` the share
    of the time in which it had work to do and others had that core; `used` is what the processes watched
    have used in the span."""

    seconds: float
    requests: int = 0
    failed: int = 0
    wrong: int = 0
    completed: int = 0
    bytes: int = 0
    unchecked: int = 0
    connections_opened: int = 0
    busy: float = 0.0
    waited: float = 0.0
    is_open_loop: bool = False
    errors: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    beyond: Histogram = field(default_factory=Histogram)
    used: dict[str, Used] = field(default_factory=dict)

    @property
    def requests_per_second(self) -> float:
        return self.completed / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds

    @property
    def success(self) -> float:
        """The share of requests that were answered rightly and in time, from 0 to 1; 0 if none was made."""
        made = self.requests + self.failed
        return self.requests / made if made else 0.0

    @property
    def was_late(self) -> bool:
        """The generator was the limit: it came to one request in a hundred more than 5 ms late, or, in a
        closed loop, had no more of its core to use. Latencies are then its own as much as the server's."""
        if self.is_open_loop:
            return self.lag.percentile_ms(99) > LATE_MS
        return self.busy >= FULLY_BUSY

    def to_json(self) -> str:
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        told["used"] = {name: asdict(used) for name, used in self.used.items()}
        return json.dumps(
            {name: value.to_json() if isinstance(value, Histogram) else value for name, value in told.items()}
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError for what is no outcome."""
        try:
            told = json.loads(text)
            for name in ("latency", "first_byte", "lag", "beyond"):
                told[name] = Histogram.from_json(told[name])
            told["used"] = {name: Used(**used) for name, used in told["used"].items()}
            return cls(**told)
        except (TypeError, KeyError, IndexError) as error:
            raise ValueError(f"not an outcome: {error!r}") from error
