"""What one process notes, all that share it know."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.proxy.until import SharedUntil


def test_what_a_forked_process_notes_is_known_to_the_others() -> None:
    shared = SharedUntil()
    shared.note("a", 10.0)
    child = os.fork()
    if not child:
        right = shared.until("a") == 10.0
        shared.note("b", 20.0)
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (shared.until("a"), shared.until("b"), shared.until("c")) == (10.0, 20.0, 0.0)


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(1, 1e9)), max_size=8))
def test_the_last_word_counts(noted: list[tuple[str, float]]) -> None:
    shared = SharedUntil()
    for name, until in noted:
        shared.note(name, until)
    for name, until in dict(noted).items():
        assert shared.until(name) == until


def test_the_one_that_ends_first_gives_way() -> None:
    shared = SharedUntil(8)
    for number in range(8):
        shared.note(f"{number}", 100.0 + number)
    shared.note("0", 200.0)
    shared.note("another", 150.0)
    assert [shared.until(f"{number}") for number in (0, 1, 2)] == [200.0, 0.0, 102.0]
    assert shared.until("another") == 150.0


def test_names_no_text_can_hold_are_names() -> None:
    shared = SharedUntil()
    shared.note("\udcff", 5.0)
    assert shared.until("\udcff") == 5.0
