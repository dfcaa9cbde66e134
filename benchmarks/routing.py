"""How near do clients come to the best node, and what do unknown ways, jumps and dead nodes cost?"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks.report import Result
from benchmarks.route import affinity, failing, five, last_mile, moving, speed, unknown

QUESTION = "How near do clients come to the best node, and what do unknown ways, jumps and dead nodes cost?"
METHOD = [
    "No sockets: measured round trips (data/NOTICE) are the truth. The router's own learner is told what a "
    "part of the clients would have seen, its own policies decide, and the truth says what that costs. "
    "Clients weigh the same. All seeds are fixed: figures but those of time repeat exactly.",
    "The oracle knows the truth of the moment. Clearly worse: more than 5 % and 1 ms above the oracle. A "
    f"seed set is the mean of {unknown.DRAWS} draws (nodes, known pairs, noise), with seeds 0 to 999; the "
    "strengths in the estimate were chosen with seeds from 5000 on, and hysteresis by PlanetLab seeds from "
    "200 on and by Seattle, of which there is only one.",
    "A known pair was measured 8 % off (log-normal), the same error however often it was measured. Nodes "
    "have probed each other, which counts as a sample of their surroundings.",
    "Five nodes: an answer takes two round trips and 50 ms; in the open loop 1000 requests come in a second, "
    "in the closed one 200 users ask again when they have their answer.",
    "A dead node: client groups ask every 60 s (DNS), loads are told every 5 s, three points look every 5 s, "
    "and the router's own rules (`votes`) judge.",
    "Times are processor time of one thread.",
]

QUICK = "A short run: fewer draws, slices and decisions; where nodes learn on the way limits are not judged."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, print only")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    quick: bool = options.quick
    result = Result("routing", QUESTION, [QUICK, *METHOD] if quick else METHOD)
    for part in (unknown, five, last_mile, moving, affinity):
        before = len(result.limits)
        part.measure(result, quick=quick)
        if quick and part in (moving, affinity):
            # What is learned on the way has not been yet.
            result.limits[before:] = [replace(limit, met=None) for limit in result.limits[before:]]
    failing.measure(result)
    speed.measure(result, quick=quick)
    result.finish(options.dry or quick)


if __name__ == "__main__":
    main()
