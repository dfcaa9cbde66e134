"""What those who wait on a fill are told, once, when its head is decided."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.errors import UpstreamError
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.growing_body import GrowingBody
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.policy.stored import StoredResponse


@dataclass(frozen=True, slots=True)
class Streaming:
    """A storable response is arriving. `stored` lacks what only the end tells."""

    stored: StoredResponse
    body: GrowingBody
    answer: Answer


@dataclass(frozen=True, slots=True)
class Large:
    """The response is that of a large body, which another fill puts together from here on."""

    fill: LargeFill
    answer: Answer

    @property
    def stored(self) -> StoredResponse:
        return self.fill.stored


@dataclass(frozen=True, slots=True)
class Freshened:
    stored: StoredResponse
    answer: Answer


@dataclass(frozen=True, slots=True)
class Unshared:
    """Not storable: `answer` belongs to the one who started the fill, all others ask by themselves."""

    answer: Answer
    detail: str


@dataclass(frozen=True, slots=True)
class StaleInstead:
    stored: StoredResponse
    detail: str
    forward_status: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    error: UpstreamError


Head = Streaming | Large | Freshened | Unshared | StaleInstead | Failed
