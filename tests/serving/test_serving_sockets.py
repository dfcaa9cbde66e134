"""Sockets to listen at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgeproxy.config import Listen
from edgeproxy.errors import StartError
from edgeproxy.serving.sockets import Inherited, Listening, bind, remove_path


def test_copies_are_at_one_address_and_both_are_connected_to() -> None:
    bound = bind("http", "127.0.0.1:0", Listen(), copies=2)
    assert len(bound.sockets) == 2
    assert {each.getsockname() for each in bound.sockets} == {bound.sockets[0].getsockname()}
    clients = [socket.create_connection(bound.sockets[0].getsockname()) for _ in range(24)]
    accepted = []
    for each in bound.sockets:
        count = 0
        while True:
            try:
                each.accept()[0].close()
            except BlockingIOError:
                break
            count += 1
        accepted.append(count)
    assert sum(accepted) == 24
    assert min(accepted) > 0
    for client in clients:
        client.close()
    bound.close()


@pytest.mark.parametrize("copies", [1, 2])
def test_an_address_of_another_is_not_shared_with_it(copies: int) -> None:
    bound = bind("http", "127.0.0.1:0", Listen(), copies=copies)
    with pytest.raises(StartError, match=bound.name):
        bind("http", bound.name, Listen(), copies=2)
    bound.close()


def test_a_path_is_removed_by_name(tmp_path: Path) -> None:
    bound = bind("http", f"unix:{tmp_path}/s", Listen(), copies=3)
    assert len(bound.sockets) == 1  # one for all
    bound.close()
    assert (tmp_path / "s").exists()
    remove_path(bound)
    remove_path(bound)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:80"])
def test_what_cannot_be_listened_at_is_named(text: str) -> None:
    with pytest.raises(StartError, match=text):
        bind("http", text, Listen())


def test_what_is_inherited_is_taken_once_by_what_it_was_called() -> None:
    known = [
        Listening(*one, ()) for one in (("http", "h:0", "h:1"), ("https", "h:0", "h:2"), ("http", "u", "u"))
    ]
    inherited = Inherited(known)
    assert inherited.take("https", "h:0") is known[1]
    assert [inherited.take("http", "h:0") for _ in range(2)] == [known[0], None]
    assert inherited.left() == [known[2]]
