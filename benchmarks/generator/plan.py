"""What is to be asked, how often and for how long."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

from benchmarks import records

Protocol = Literal["http/1.1", "h2", "grpc"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One load on one server. `url` is its scheme and authority; `targets` are paths there.

    With a `rate` (requests a second in all) the loop is open: a request is due at its time whatever became
    of those before it, and its latency counts from that time. Without, it is closed: each connection asks
    again as soon as it has its answer, or after `think_seconds` (each time between half and one and a half
    of it).

    With `rtt_seconds` each connection has a distance of its own, drawn evenly between the two by `seed`: a
    request leaves half of its round trip after it was due, and its answer is there half of it after it came.
    Only the time is emulated, not the bandwidth; link.py does both. Connections come from
    `client_addresses` addresses of the loopback network in turn, as limits for each client have to see it.

    Targets are asked for in turn, over and over; with `zipf` the one at rank r (from 1) is drawn with a
    weight of r**-zipf, by `seed`. `streams` is how many requests a connection of HTTP/2 carries at once.
    Up to `waiting_max` due requests wait for a connection; one more has failed as "not sent". A request
    has failed if it is not answered `timeout_seconds` after it was due. An answer must have `status`."""

    url: str
    targets: Sequence[str]
    rate: float | None = None
    connections: int = 64
    protocol: Protocol = "http/1.1"
    seconds: float = 3.0
    warm_seconds: float = 0.5
    is_fresh: bool = False
    timeout_seconds: float = 20.0
    seed: int = 1
    zipf: float | None = None
    streams: int = 1
    think_seconds: float = 0.0
    waiting_max: int = 10_000
    fields: Sequence[tuple[str, str]] = ()
    """Further fields of each request; a "host" takes the place of the authority of `url`."""
    status: int = 200
    rtt_seconds: tuple[float, float] | None = None
    client_addresses: int = 1
    watched: Mapping[str, int] = field(default_factory=dict)
    """Processes under test, by name: what each and its children use in the span measured."""

    def __post_init__(self) -> None:
        """Raises ValueError for a plan that cannot be followed."""
        address = urlsplit(self.url)
        for is_wrong, why in (
            (address.scheme not in ("http", "https") or not address.hostname, "url is http://HOST:PORT"),
            (address.path not in ("", "/"), "url has no path: paths are targets"),
            (not self.targets, "at least one target is needed"),
            (not all(target.startswith("/") for target in self.targets), "a target begins with /"),
            (self.protocol not in get_args(Protocol), f"protocol is one of {', '.join(get_args(Protocol))}"),
            (
                self.protocol == "grpc" and not all(map(records.within, self.targets)),
                "a target of grpc is the path of a record, /records/COUNT/NAME",
            ),
            (self.rate is not None and self.rate <= 0, "rate is requests a second, above 0"),
            (self.rate is not None and self.think_seconds > 0, "think_seconds is for a closed loop"),
            (min(self.connections, self.streams) < 1, "at least one connection and stream are needed"),
            (not 1 <= self.client_addresses <= 250, "client_addresses is from 1 to 250"),
            (self.is_fresh and self.rtt_seconds is not None, "rtt_seconds is for connections that are kept"),
            (not _is_span(self.rtt_seconds), "rtt_seconds is the least and the most, not below 0"),
            (self.streams > 1 and self.protocol == "http/1.1", "http/1.1 has one stream a connection"),
            (self.seconds <= 0 or self.timeout_seconds <= 0, "seconds and timeout_seconds are above 0"),
            (min(self.warm_seconds, self.think_seconds, self.waiting_max) < 0, "none of them is below 0"),
        ):
            if is_wrong:
                raise ValueError(f"not a plan: {why}")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError for what is no plan."""
        try:
            told = json.loads(text)
            told["targets"] = tuple(told["targets"])
            if (span := told.get("rtt_seconds")) is not None:
                told["rtt_seconds"] = tuple(span)
            told["fields"] = tuple((name, value) for name, value in told.get("fields", ()))
            return cls(**told)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a plan: {error}") from error


def _is_span(span: tuple[float, float] | None) -> bool:
    return span is None or (len(span) == 2 and 0 <= span[0] <= span[1])
