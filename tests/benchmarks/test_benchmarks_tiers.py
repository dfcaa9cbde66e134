import asyncio

import pytest

from benchmarks import bodies
from benchmarks.link import Counts
from benchmarks.origin import Answering
from benchmarks.small import fetch_small
from benchmarks.tiers import HEAD_BYTES, Large, beyond

MIB = 1 << 20


def test_the_share_of_a_link_is_that_of_its_rate() -> None:
    assert Large(10.0, 0.1, 0, "").share(125_000_000, 125e6) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("carried", "requests", "twice"),
    [
        ([MIB], 1, 0),
        ([MIB + HEAD_BYTES], 1, 0),
        ([MIB + 5000], 0, 5000),
        ([MIB // 2, MIB // 2 + 3 * HEAD_BYTES + 7], 3, 7),
    ],
)
def test_what_links_carry_beyond_a_body_and_heads_came_twice(
    carried: list[int], requests: int, twice: int
) -> None:
    before = [Counts(down_bytes=1000) for _ in carried]
    after = [Counts(down_bytes=1000 + count) for count in carried]
    assert beyond(before, after, MIB, requests) == twice


async def test_small_objects_are_checked_and_each_is_asked_for_once() -> None:
    origin = Answering()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    targets = [bodies.path(1000, f"o{number}") for number in range(20)]
    fetched = await fetch_small(f"http://{host}:{port}", [*targets, "/absent"], 4, 30.0)
    server.close()
    assert len(fetched.latencies) == 20
    assert [problem.partition(":")[0] for problem in fetched.problems] == ["/absent"]
    assert origin.counts.requests == 21
