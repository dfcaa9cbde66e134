"""An origin for a ScriptedUpstream that serves one body and ranges of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline_house import Scripted

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.upstream.upstream import UpstreamRequest

PIECE = 64 << 10
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


@dataclass
class RangeOrigin:
    """Serves `body`, ranges too, in pieces of PIECE bytes. `faults` maps the number of a request to what
    goes wrong with it."""

    body: bytes
    tag: str = '"v1"'
    fields: tuple[tuple[str, str], ...] = (("Cache-Control", "max-age=60"),)
    serves_ranges: bool = True
    faults: dict[int, Callable[[Scripted], Any]] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    def __call__(self, request: UpstreamRequest) -> Any:
        number = len(self.asked)
        text = request.headers.get("Range") if self.serves_ranges else ""
        if_range = request.headers.get("If-Range")
        size = len(self.body)
        if not text or (if_range and if_range != self.tag):
            start, end, status = 0, size, 200
        elif text.startswith("bytes=-"):
            start, end, status = max(0, size - int(text[7:])), size, 206
        else:
            first, _, last = text[6:].partition("-")
            start, end, status = int(first), min(size, int(last) + 1) if last else size, 206
        self.asked.append((start, end))
        fields = [*self.fields, ("ETag", self.tag)] if self.tag else [*self.fields]
        if status == 206:
            fields.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
        pieces: list[Any] = [self.body[o : min(o + PIECE, end)] for o in range(start, end, PIECE)]
        if self.gate is not None:
            pieces.insert(1, self.gate)
        answer = Scripted(status, tuple(fields), tuple(pieces), length=end - start)
        fault = self.faults.get(number)
        return fault(answer) if fault else answer

    @property
    def sent(self) -> int:
        return sum(end - start for start, end in self.asked)


def cut_after(count: int) -> Callable[[Scripted], Scripted]:
    return lambda answer: replace(answer, pieces=(*answer.pieces[:count], CUT))
