from __future__ import annotations

from ipaddress import ip_address

from edgeproxy.router.complaints import MANY, NODES_MAX, Complaints, number_of


def test_many_groups_at_once_are_a_sign_and_one_that_repeats_is_none() -> None:
    complaints = Complaints(100)
    assert not any(complaints.made("one", "berlin", float(at)) for at in range(50))
    others = [complaints.made(f"group{number}", "berlin", 50.0) for number in range(MANY - 1)]
    assert others == [False] * (MANY - 2) + [True]


def test_slow_complaints_are_no_sign() -> None:
    complaints = Complaints(100)
    assert not any(complaints.made(f"group{number}", "berlin", number * 31.0) for number in range(50))


def test_exclusions_last_a_while_bind_one_client_and_are_bounded() -> None:
    complaints, last = Complaints(3), 99
    assert complaints.of(1, 0.0) == frozenset()
    for number in range(10):
        complaints.excluded(number, "berlin", 0.0)
        complaints.excluded(last, f"node{number}", float(number))
    assert complaints.of(0, 0.0) == frozenset()
    assert complaints.of(9, 0.0) == {"berlin"}
    assert len(complaints.of(last, 10.0)) == NODES_MAX
    assert complaints.of(last, 1000.0) == frozenset()
    assert complaints.of(1, 0.0) == frozenset()


def test_who_has_a_whole_network_is_one_client() -> None:
    one, other, neighbour = map(ip_address, ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"))
    assert number_of(one) == number_of(other) != number_of(neighbour)
    assert number_of(ip_address("192.0.2.1")) != number_of(ip_address("192.0.2.2"))
    assert number_of(ip_address("::c000:201")) != number_of(ip_address("192.0.2.1"))
