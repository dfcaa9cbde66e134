from __future__ import annotations

from edgeproxy.router.complaints import MANY, Complaints


def test_many_groups_at_once_are_a_sign_and_one_that_repeats_is_none() -> None:
    complaints = Complaints(100)
    assert not any(complaints.made("one", "berlin", float(at)) for at in range(50))
    others = [complaints.made(f"group{number}", "berlin", 50.0) for number in range(MANY - 1)]
    assert others == [False] * (MANY - 2) + [True]


def test_slow_complaints_are_no_sign() -> None:
    complaints = Complaints(100)
    assert not any(complaints.made(f"group{number}", "berlin", number * 31.0) for number in range(50))


def test_they_last_a_while_and_are_bounded() -> None:
    complaints = Complaints(3)
    for number in range(10):
        complaints.made(f"group{number}", "berlin", 0.0)
        complaints.made("last", f"node{number}", float(number))
    assert complaints.of("group0", 0.0) == frozenset()
    assert complaints.of("group9", 0.0) == {"berlin"}
    assert len(complaints.of("last", 10.0)) == 8
    assert complaints.of("last", 1000.0) == frozenset()
