"""A load generator that can be trusted: latency from when a request was due, every byte compared.

    from benchmarks.generator import Plan, run
    outcome = run(Plan("http://127.0.0.1:8080", ["/b/1024/a"], rate=2000, connections=64))
    outcome.requests_per_second, outcome.latency.percentile_ms(99), outcome.success, outcome.errors

`run` follows the plan in a process of its own on the load core: `python -m benchmarks.generator` takes a plan
as JSON on standard input and gives the outcome as JSON on standard output. `start` does so while the caller
does something else. Made of: plan, outcome, histogram (values); targets (what is asked for next); engine
(when, and by which connection), tally (counting); connecting and, one file a protocol, http1, http2, grpc;
watch (what processes under test use meanwhile)."""

from __future__ import annotations

from benchmarks.generator.histogram import Histogram
from benchmarks.generator.outcome import Outcome
from benchmarks.generator.plan import Plan
from benchmarks.generator.running import Running, run, start
from benchmarks.generator.targets import recorded

__all__ = ["Histogram", "Outcome", "Plan", "Running", "recorded", "run", "start"]
