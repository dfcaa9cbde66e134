"""Whether a kept connection is silent."""

import select
import socket
from collections.abc import Iterator

import pytest

from edgeproxy.upstream.connections import Connections, Ends


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    with ours, theirs:
        yield ours, theirs


def ends_of(sock: socket.socket) -> Ends:
    local, remote = sock.getsockname(), sock.getpeername()
    return remote[0], local[0], remote[1], local[1]


def used_once(sock: socket.socket) -> Connections:
    connections = Connections()
    connections.opened(sock.fileno())
    assert connections.may_send(ends_of(sock))
    connections.answered(ends_of(sock), multiplexed=False)
    return connections


def arrived(sock: socket.socket) -> None:
    assert select.select([sock], [], [], 5)[0]


def test_a_silent_connection_may_be_used_again(pair: tuple[socket.socket, socket.socket]) -> None:
    connections = used_once(pair[0])
    assert connections.may_send(ends_of(pair[0]))


def test_bytes_nobody_asked_for_forbid_another_use(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    connections = used_once(ours)
    theirs.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    arrived(ours)
    assert not connections.may_send(ends_of(ours))
    assert ours.recv(4) == b"HTTP"  # only looked at, not taken


def test_a_connection_that_ended_is_not_used_again(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    connections = used_once(ours)
    theirs.close()
    arrived(ours)
    assert not connections.may_send(ends_of(ours))


def test_frames_may_come_at_any_time_on_a_multiplexed_connection(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    connections = used_once(ours)
    connections.answered(ends_of(ours), multiplexed=True)
    theirs.sendall(b"frame")
    arrived(ours)
    assert connections.may_send(ends_of(ours))


def test_a_connection_nobody_announced_is_taken_for_new(pair: tuple[socket.socket, socket.socket]) -> None:
    connections = Connections()
    connections.answered(ends_of(pair[0]), multiplexed=True)
    assert connections.may_send(ends_of(pair[0]))


def test_a_connection_given_out_with_a_request_unanswered_multiplexes(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    connections = used_once(ours)
    assert connections.may_send(ends_of(ours))
    theirs.sendall(b"frame")
    arrived(ours)
    assert connections.may_send(ends_of(ours))
    for _ in range(2):
        connections.answered(ends_of(ours), multiplexed=False)
    assert not connections.may_send(ends_of(ours))


def test_a_descriptor_given_out_again_is_not_mistaken_for_the_old_connection(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    connections = used_once(ours)
    old, number = ends_of(ours), ours.fileno()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours.close()
        new = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    with new, other:
        assert new.fileno() == number  # the kernel gives the lowest free number
        connections.opened(number)
        other.sendall(b"x")
        arrived(new)
        assert connections.may_send(old)  # nothing is known of it any more
        assert connections.may_send(ends_of(new))  # its first use
        connections.answered(ends_of(new), multiplexed=False)
        assert not connections.may_send(ends_of(new))
