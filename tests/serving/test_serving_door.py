"""Who may connect."""

import resource
from typing import Any

import pytest
from serving_stand import Serve

from edgeproxy.config import Limits
from edgeproxy.metrics import Metrics
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.door import Door


class Guest:
    """A connection that leaves as soon as it is asked to."""

    pulse_seen: tuple[object, ...] = ()
    pulse_since = 0.0

    def __init__(self, is_idle: bool) -> None:
        self.is_idle = is_idle
        self.closed = False

    def close(self) -> None:
        self.closed = True


def entered(door: Door, client: str, is_idle: bool = True) -> Any:
    assert door.admit(client, 5) is None
    guest: Any = Guest(is_idle)
    door.opened(guest)
    return guest


async def test_one_client_has_its_limit_and_loopback_has_none(serve: Serve) -> None:
    served = await serve(limits=Limits(connections_per_client=1))
    door = served.listeners._door
    assert door.admit("192.0.2.1", 5) is None
    assert door.admit("192.0.2.1", 5) == "client"
    assert door.admit("192.0.2.2", 5) is None
    door.gave_up("192.0.2.1")
    assert door.admit("192.0.2.1", 5) is None
    for _ in range(3):
        assert door.admit("127.0.0.1", 5) is None


def test_balancers_and_unix_peers_have_no_limit_of_one_client() -> None:
    door = Door(Limits(connections_per_client=1), Metrics(), Networks(["192.0.2.0/24"]))
    for client in ("192.0.2.1", "", "::1"):
        assert [door.admit(client, 5) for _ in range(3)] == [None] * 3


def test_entering_and_open_connections_count_together_and_leaving_makes_room() -> None:
    door = Door(Limits(connections=2), Metrics(), Networks([]))
    busy = entered(door, "192.0.2.1", is_idle=False)
    assert door.admit("192.0.2.2", 5) is None
    assert door.admit("192.0.2.3", 5) == "connections"
    door.lost(busy, "192.0.2.1")
    assert door.admit("192.0.2.3", 5) is None


def test_only_idle_connections_are_shed_and_only_once_between_looks() -> None:
    door = Door(Limits(connections=2), Metrics(), Networks([]))
    idle, busy = entered(door, "192.0.2.1"), entered(door, "192.0.2.2", is_idle=False)
    assert door.admit("192.0.2.3", 5) == "connections"
    assert (idle.closed, busy.closed) == (True, False)
    idle.closed = False
    door.admit("192.0.2.3", 5)
    assert not idle.closed
    door.look()
    door.admit("192.0.2.3", 5)
    assert idle.closed


def test_descriptors_near_the_limit_of_the_process_are_refused_and_counted() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        pytest.skip("descriptors have no limit here")
    metrics = Metrics()
    door = Door(Limits(), metrics, Networks([]))
    assert door.admit("192.0.2.1", soft - 1) == "descriptors"
    assert metrics.value("connections_refused_total", "descriptors") == 1
    assert door.entering == 0


def test_a_connection_that_speaks_another_protocol_is_the_same_client() -> None:
    door = Door(Limits(connections_per_client=1), Metrics(), Networks([]))
    one = entered(door, "192.0.2.1")
    other = entered(Door(Limits(), Metrics(), Networks([])), "192.0.2.1")
    door.turned(one, other)
    assert door.connections == {other}
    assert door.admit("192.0.2.1", 5) == "client"
    door.lost(other, "192.0.2.1")
    assert door.admit("192.0.2.1", 5) is None
