from __future__ import annotations

from edgeproxy.router.complaints import MANY, NODES_MAX, Complaints


def test_many_groups_at_once_are_a_sign_and_one_that_repeats_is_none() -> None:
    complaints = Complaints(100)
    assert not any(complaints.made("one", "berlin", float(at)) for at in range(50))
    others = [complaints.made(f"group{number}", "berlin", 50.0) for number in range(MANY - 1)]
    assert others == [False] * (MANY - 2) + [True]


def test_slow_complaints_are_no_sign() -> None:
    complaints = Complaints(100)
    assert not any(complaints.made(f"group{number}", "berlin", number * 31.0) for number in range(50))


def test_exclusions_last_a_while_bind_one_client_and_are_bounded() -> None:
    complaints = Complaints(3)
    assert complaints.of("anybody", 0.0) == frozenset()
    for number in range(10):
        complaints.excluded(f"client{number}", "berlin", 0.0)
        complaints.excluded("last", f"node{number}", float(number))
    assert complaints.of("client0", 0.0) == frozenset()
    assert complaints.of("client9", 0.0) == {"berlin"}
    assert len(complaints.of("last", 10.0)) == NODES_MAX
    assert complaints.of("last", 1000.0) == frozenset()
    assert complaints.of("anybody", 0.0) == frozenset()
