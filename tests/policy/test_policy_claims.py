import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.claims import NEAR_BYTES, Claims, plan_claims
from edgeproxy.policy.spans import Span, Spans

MiB = 1 << 20
SIZE = 100 * MiB


def plan(
    present: list[Span] = [],  # noqa: B006 - never changed
    running: list[Span] = [],  # noqa: B006
    wants: list[Span] = [],  # noqa: B006
    *,
    whole: bool = False,
    parallel: int = 1,
    windowed: bool | None = None,
    claims_max: int = 32,
    size: int = SIZE,
) -> Claims:
    return plan_claims(
        Spans(present),
        running,
        wants,
        size=size,
        segment=4 * MiB,
        whole=whole,
        parallel=parallel,
        windowed=parallel > 1 if windowed is None else windowed,
        claims_max=claims_max,
    )


@pytest.mark.parametrize(
    ("situation", "started", "cut"),
    [
        ({"wants": []}, (), {}),
        ({"wants": [(0, SIZE)]}, ((0, SIZE),), {}),
        # A small range is rounded up a little, and to its segment where reading goes on.
        ({"wants": [(5 * MiB + 7, 6 * MiB + 7)]}, ((5 * MiB + 7, 7 * MiB),), {}),
        ({"present": [(4 * MiB, 5 * MiB)], "wants": [(5 * MiB, 6 * MiB)]}, ((5 * MiB, 8 * MiB),), {}),
        ({"present": [(0, 5 * MiB)], "wants": [(4 * MiB, 5 * MiB + 9)]}, ((5 * MiB, 8 * MiB),), {}),
        ({"wants": [(SIZE - 9, SIZE)]}, ((SIZE - 9, SIZE),), {}),
        # A long range is fetched as it is: its client will ask for the next one itself.
        ({"wants": [(5 * MiB, 15 * MiB)]}, ((5 * MiB, 15 * MiB),), {}),
        # A claim that ends soon is not cut: its bytes are on their way.
        ({"running": [(0, 4 * MiB)], "wants": [(3 * MiB, 4 * MiB)]}, (), {}),
        # Two readers of one place share what is fetched for the first.
        ({"wants": [(5 * MiB, 6 * MiB - 9), (5 * MiB, 6 * MiB)]}, ((5 * MiB, 6 * MiB),), {}),
        # What is there is not fetched.
        ({"present": [(0, 8 * MiB)], "wants": [(0, 6 * MiB)]}, (), {}),
        ({"present": [(5 * MiB, SIZE)], "wants": [(0, SIZE)]}, ((0, 5 * MiB),), {}),
        # Close behind a claim one waits for it; far behind it is cut.
        ({"running": [(0, SIZE)], "wants": [(NEAR_BYTES, SIZE)]}, (), {}),
        (
            {"running": [(0, SIZE)], "wants": [(50 * MiB, 51 * MiB)]},
            ((50 * MiB, 51 * MiB),),
            {0: 50 * MiB},
        ),
        # The rest is fetched only if somebody wants the whole.
        ({"present": [(0, 8 * MiB)], "whole": True}, ((8 * MiB, SIZE),), {}),
        # Side by side: windows, in the order of the body, small ones first.
        (
            {"running": [(0, SIZE)], "wants": [(0, SIZE)], "parallel": 3},
            ((4 * MiB, 8 * MiB), (8 * MiB, 12 * MiB)),
            {0: 4 * MiB},
        ),
        (
            {"running": [(0, MiB // 4)], "wants": [(0, SIZE)], "parallel": 3},
            ((MiB // 4, 4 * MiB), (4 * MiB, 8 * MiB)),
            {},
        ),
        (
            {"present": [(0, 64 * MiB)], "wants": [(0, 900 * MiB)], "parallel": 2, "size": 900 * MiB},
            ((64 * MiB, 80 * MiB), (80 * MiB, 96 * MiB)),
            {},
        ),
        # Towards the end they are small again, so that the last ones end together.
        (
            {"present": [(0, 80 * MiB)], "wants": [(0, SIZE)], "parallel": 2},
            ((80 * MiB, 88 * MiB), (88 * MiB, 92 * MiB)),
            {},
        ),
        # What has been asked for by range is brought to its end, however little is left of it.
        ({"running": [(60 * MiB, 76 * MiB)], "wants": [(60 * MiB, 76 * MiB)], "parallel": 4}, (), {}),
        # A window for one alone, as long as it is not known how far upstream is.
        ({"wants": [(0, SIZE)], "windowed": True}, ((0, 4 * MiB),), {}),
        # Readers wait when there are too many claims already.
        ({"running": [(0, 4 * MiB)], "wants": [(50 * MiB, 51 * MiB)], "claims_max": 1}, (), {}),
    ],
)
def test_what_is_fetched_next(
    situation: dict[str, object], started: tuple[Span, ...], cut: dict[int, int]
) -> None:
    assert plan(**situation) == Claims(started, cut)  # type: ignore[arg-type]


PLACE = st.integers(0, 100)
RANGE = st.tuples(PLACE, PLACE).filter(lambda pair: pair[0] < pair[1])


@settings(max_examples=300)
@given(
    st.lists(RANGE, max_size=6),
    st.lists(RANGE, max_size=5),
    st.lists(RANGE, max_size=6),
    st.booleans(),
    st.integers(1, 6),
)
def test_no_byte_is_fetched_twice_and_every_reader_is_served(
    there: list[Span], claimed: list[Span], wants: list[Span], whole: bool, parallel: int
) -> None:
    present = Spans([(a * MiB, b * MiB) for a, b in there])
    running: list[Span] = []
    taken = present.copy()
    for a, b in claimed:  # claims that a sane fill could have
        if taken.next(a * MiB) in (None,) or (taken.next(a * MiB) or 0) >= b * MiB:
            running.append((a * MiB, b * MiB))
            taken.add(a * MiB, b * MiB)
    readers = [(a * MiB, b * MiB) for a, b in wants]
    got = plan_claims(
        present,
        running,
        readers,
        size=SIZE,
        segment=4 * MiB,
        whole=whole,
        parallel=parallel,
        windowed=parallel > 1 or whole,
        claims_max=64,
    )
    after = [(p, got.cut.get(n, e)) for n, (p, e) in enumerate(running)] + list(got.start)
    assert all(p < e <= SIZE for p, e in got.start)
    assert all(running[n][0] < end <= running[n][1] for n, end in got.cut.items())
    union = present.copy()
    for position, end in after:
        assert union.next(position) is None or (union.next(position) or 0) >= end
        union.add(position, end)
    assert union.total == present.total + sum(e - p for p, e in after)
    for offset, end in readers:
        hole = present.upto(offset)
        if hole < end:
            assert any(p <= hole < e and (hole - p <= NEAR_BYTES or e - p <= 8 * MiB) for p, e in after)
    if whole and present.total < SIZE:
        assert after
