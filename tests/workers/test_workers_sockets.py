"""Which sockets each server has."""

from __future__ import annotations

from typing import Any

import pytest

from edgeproxy.serving.sockets import Listening
from edgeproxy.workers.sockets import of_server


@pytest.mark.parametrize(
    ("sockets", "servers", "expected"),
    [
        ("ab", 2, ["a", "b"]),
        ("abcd", 2, ["ac", "bd"]),  # two addresses of one name, a copy for each
        ("a", 2, ["a", "a"]),  # inherited from one process, or a unix socket
        ("abc", 2, ["abc", "abc"]),  # inherited from three
        ("abcd", 1, ["abcd"]),
    ],
)
def test_every_socket_is_somebodys_and_each_server_has_one(
    sockets: Any, servers: int, expected: list[str]
) -> None:
    bound = Listening("http", "h:1", "h:1", tuple(sockets))
    dealt = [of_server([bound], number, servers)[0].sockets for number in range(servers)]
    assert ["".join(each) for each in dealt] == expected  # type: ignore[arg-type]
    assert {each for one in dealt for each in one} == set(sockets)
