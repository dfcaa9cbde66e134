from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.spans import Spans

SIZE = 40
EDIT = st.tuples(st.booleans(), st.integers(0, SIZE), st.integers(0, SIZE))


def as_set(spans: Spans) -> set[int]:
    return {byte for start, end in spans for byte in range(start, end)}


@settings(max_examples=300)
@given(st.lists(EDIT, max_size=20))
def test_adding_and_removing_agree_with_a_set_of_bytes(edits: list[tuple[bool, int, int]]) -> None:
    spans, model = Spans(), set[int]()
    for is_added, start, end in edits:
        if is_added:
            spans.add(start, end)
            model |= set(range(start, end))
        else:
            spans.remove(start, end)
            model -= set(range(start, end))
        assert as_set(spans) == model
        assert spans.total == len(model)
        listed = list(spans)
        assert all(a < b for a, b in listed)
        assert all(before[1] < after[0] for before, after in pairwise(listed))


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))),
    st.integers(0, SIZE),
    st.integers(0, SIZE),
)
def test_questions_agree_with_a_set_of_bytes(added: list[tuple[int, int]], start: int, end: int) -> None:
    spans = Spans(added)
    model = as_set(spans)
    upto = start
    while upto in model:
        upto += 1
    assert spans.upto(start) == upto
    later = [byte for byte in model if byte >= start]
    assert spans.next(start) == (min(later) if later else None)
    assert spans.holds(start, end) == all(byte in model for byte in range(start, end))
    holes = {byte for a, b in spans.holes(start, end) for byte in range(a, b)}
    assert holes == {byte for byte in range(start, end) if byte not in model}
    assert spans.copy() == spans
