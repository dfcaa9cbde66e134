"""`python -m benchmarks.generator`: a plan as JSON on standard input, its outcome on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import sys

from benchmarks.generator.engine import follow
from benchmarks.generator.plan import Plan


def main() -> None:
    try:
        plan = Plan.from_json(sys.stdin.read())
    except ValueError as error:
        raise SystemExit(str(error)) from None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = plan.connections + 64
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    # Exchanges are freed by their count; what a full collection would find is little and stops the clock.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    told = asyncio.run(follow(plan)).to_json()
    os.set_blocking(sys.stdout.fileno(), True)  # what does not fit into a pipe at once would be lost
    print(told, flush=True)


if __name__ == "__main__":
    main()
