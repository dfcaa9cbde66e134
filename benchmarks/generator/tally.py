"""Counts what becomes of requests: one outcome in the making."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from time import monotonic

from benchmarks.generator.exchange import Exchange
from benchmarks.generator.histogram import Histogram
from benchmarks.generator.outcome import Outcome
from benchmarks.generator.watch import Sample, Used, Watch

_KINDS_MAX = 50
_OURSELVES = "the generator itself"


class Tally:
    """`begin` and `end` bound the span measured."""

    def __init__(self, is_open_loop: bool, watched: Mapping[str, int]) -> None:
        self._is_open_loop = is_open_loop
        self._watch = Watch({**watched, _OURSELVES: os.getpid()})
        self._before: dict[str, Sample] = {}
        self._used: dict[str, Used] = {}
        self._errors: Counter[str] = Counter()
        self._completed = self._requests = self._unchecked = self.connections_opened = 0
        self.latency, self.first_byte, self.lag = Histogram(), Histogram(), Histogram()
        self.beyond = Histogram()
        self._seconds = self._busy = self._waited = 0.0
        self._begun: tuple[float, float, int, int] | None = None
        self._completed_within = self._bytes_within = 0

    def begin(self, received: int) -> None:
        self._before = self._watch.sample()
        self._begun = (monotonic(), time.process_time(), self._completed, received)

    def end(self, received: int) -> None:
        assert self._begun is not None
        begun, used, completed, before = self._begun
        self._seconds = monotonic() - begun
        self._busy = (time.process_time() - used) / self._seconds
        self._used = self._watch.used(self._before)
        self._waited = self._used.pop(_OURSELVES).waited
        self._completed_within, self._bytes_within = self._completed - completed, received - before

    def answered(self, exchange: Exchange, now: float) -> None:
        self._completed += 1
        if exchange.is_measured:
            self._requests += 1
            self.latency.add(now - exchange.due)
            self.first_byte.add(exchange.first_byte - exchange.due)
            if exchange.rtt:
                self.beyond.add(now - exchange.due - exchange.rtt)
            if exchange.wanted.block is None:
                self._unchecked += 1

    def failed(self, exchange: Exchange, kind: str) -> None:
        if exchange.is_measured:
            # Kinds are few words of ours; the bound is for statuses that a mad server makes up.
            self._errors[kind if kind in self._errors or len(self._errors) < _KINDS_MAX else "other"] += 1

    def outcome(self) -> Outcome:
        return Outcome(
            seconds=self._seconds,
            requests=self._requests,
            failed=self._errors.total(),
            wrong=self._errors["wrong bytes"],
            completed=self._completed_within,
            bytes=self._bytes_within,
            unchecked=self._unchecked,
            connections_opened=self.connections_opened,
            busy=self._busy,
            waited=self._waited,
            is_open_loop=self._is_open_loop,
            errors=dict(self._errors.most_common()),
            latency=self.latency,
            first_byte=self.first_byte,
            lag=self.lag,
            beyond=self.beyond,
            used=self._used,
        )
