"""Who has refused our certificate, and for how long that is remembered."""

from __future__ import annotations

from edgeproxy.proxy.refusers import HOSTS_MAX, MEMORY_SECONDS, Refusers


def test_a_client_that_refuses_a_host_is_remembered_for_it_and_for_a_while() -> None:
    refusers = Refusers()
    refusers.note("10.0.0.1", "a.example", 1000.0)
    refusers.note("10.0.0.2", "a.example", 1001.0)
    assert refusers.refuses("10.0.0.1", "a.example", 1000.0 + MEMORY_SECONDS - 1)
    assert not refusers.refuses("10.0.0.1", "a.example", 1000.0 + MEMORY_SECONDS)
    assert not refusers.refuses("10.0.0.1", "b.example", 1000.0)
    assert not refusers.refuses("10.0.0.3", "a.example", 1000.0)
    told = refusers.hosts["a.example"]
    assert (told.count, told.last, told.client) == (2, 1001.0, "10.0.0.2")


def test_the_tables_are_bounded() -> None:
    refusers = Refusers()
    for number in range(3 * HOSTS_MAX):
        refusers.note("10.0.0.1", f"{number}.example", 0.0)
    assert len(refusers.hosts) == HOSTS_MAX
