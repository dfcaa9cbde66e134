"""Numbers that processes share."""

from __future__ import annotations

import os

from edgeproxy.relay.table import SharedTable


def test_what_the_filler_writes_other_processes_see_at_once() -> None:
    table = SharedTable(8)
    table.begin()
    asking, answering = os.pipe()
    generation = table.give(3)
    pid = os.fork()
    if pid == 0:  # a server
        seen = [table.sequence, table.holds(3, generation), table.holds(2, generation)]
        os.write(answering, bytes(seen))
        while table.sequence == 0:
            pass
        os.write(answering, bytes([table.sequence, table.holds(3, generation)]))
        os._exit(0)
    assert os.read(asking, 3) == bytes([0, True, False])
    table.end(3)
    table.set_sequence(7)
    assert os.read(asking, 2) == bytes([7, False])
    os.waitpid(pid, 0)
    os.close(asking)
    os.close(answering)


def test_no_generation_is_given_twice_also_not_by_another_filler() -> None:
    table = SharedTable(2)
    given = []
    for _ in range(3):  # fillers, one after another
        table.begin()
        given += [table.give(slot) for slot in (0, 1, 0, 1)]
    assert len(set(given)) == len(given)
    assert table.holds(0, given[-2])
    assert not any(table.holds(0, generation) for generation in given[:-2])


def test_a_new_epoch_ends_all_that_was_given_before() -> None:
    table = SharedTable(4)
    table.begin()
    given = [table.give(slot) for slot in range(4)]
    table.begin()
    assert not any(table.holds(slot, generation) for slot, generation in enumerate(given))
