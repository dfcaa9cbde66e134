"""What leads back to the node that asks."""

from __future__ import annotations

import gc
import ipaddress
import socket

import pytest

from edgeproxy.proxy.loops import Loops, is_local


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", True), ("192.0.2.77", False)],
)
def test_addresses_of_this_machine_are_told_from_others(address: str, local: bool) -> None:
    assert is_local(ipaddress.ip_address(address)) is local


def test_a_listener_of_this_node_leads_here_and_other_ports_of_the_machine_do_not() -> None:
    loops = Loops(lambda: (3128,))
    here, there = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("192.0.2.77")
    assert loops.leads_here(here, 3128)
    assert not loops.leads_here(here, 443)
    assert not loops.leads_here(there, 3128)


def test_the_other_end_of_a_connection_made_here_is_known_as_long_as_it_is_there() -> None:
    loops = Loops()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = socket.create_connection(listening.getsockname())
        loops.made(made)
        peer = made.getsockname()
        assert loops.has_made(peer)
        assert not loops.has_made((peer[0], peer[1] + 1))
        made.close()
        assert not loops.has_made(peer)
        del made
        gc.collect()
        assert not loops._made
