"""LFU; what holds for every eviction is in test_storage_eviction."""

from edgeproxy.simulation.lfu import Lfu


def filled(*keys: str) -> Lfu:
    lfu = Lfu()
    for key in keys:
        lfu.admit(key, 1)
    return lfu


def test_the_least_frequently_used_leaves_first_and_of_those_the_least_recently_used() -> None:
    lfu = filled(*"abcd")
    for key in "aabbc":
        lfu.touch(key)
    lfu.admit("new", 1)
    assert lfu.victims(2) == ["d", "c"]
    assert lfu.victims(100) == ["d", "c", "a", "b", "new"]


def test_room_is_made_for_a_newcomer_even_where_everything_else_was_used_more() -> None:
    lfu = filled("a", "b")
    lfu.touch("a")
    lfu.touch("b")
    lfu.admit("c", 1)
    assert lfu.victims(1) == ["a"]


def test_uses_of_what_left_are_forgotten() -> None:
    lfu = filled("a", "b")
    for _ in range(9):
        lfu.touch("a")
    lfu.remove("a")
    lfu.admit("a", 1)
    lfu.touch("b")
    lfu.admit("c", 1)
    assert lfu.victims(1) == ["a"]
