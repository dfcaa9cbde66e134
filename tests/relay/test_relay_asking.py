"""The server's end of an exchange, told things in an order no filler would choose."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from edgeproxy.errors import BodyAborted, EdgeError
from edgeproxy.message import Request
from edgeproxy.relay.asking import FILES_MAX, Asking, ReceivedFile
from edgeproxy.relay.channel import Channel, ChannelLost
from edgeproxy.relay.messages import DECODER, Broken, End, Slice


@pytest.fixture
async def asking() -> Any:
    one, other = socket.socketpair()
    made = Asking(Channel(one, DECODER, None), Request("GET", "/"))  # type: ignore[arg-type]
    made.given = other  # type: ignore[attr-defined]
    yield made
    made._channel.close()
    other.close()


def bring(asking: Any, number: int = 1) -> None:
    """Let descriptors arrive, without a message that would take them."""
    for _ in range(number):
        asking._channel._descriptors.append(os.open("/dev/null", os.O_RDONLY))


async def test_a_slice_of_a_file_nobody_sent_is_an_error(asking: Any) -> None:
    for is_new in (True, False):
        with pytest.raises(EdgeError):
            asking.message(Slice(0, 0, 1, is_new))
    bring(asking)
    with pytest.raises(EdgeError):
        asking.message(Slice(5, 0, 1, True))


async def test_an_answer_has_a_bound_on_its_files(asking: Any) -> None:
    bring(asking, FILES_MAX + 1)
    for number in range(FILES_MAX):
        asking.message(Slice(number, 0, 1, True))
    with pytest.raises(EdgeError):
        asking.message(Slice(FILES_MAX, 0, 1, True))
    asking.finish()


async def test_parts_that_came_are_taken_before_the_end_that_followed_them(asking: Any) -> None:
    for end in (End((("grpc-status", "0"),)), Broken("off")):
        asking.content(b"abc")
        asking.message(end)
    parts = asking.parts()
    assert [part async for part in parts] == [b"abc"]
    assert asking.trailers.pairs == (("grpc-status", "0"),)
    parts = asking.parts()
    assert await anext(parts) == b"abc"
    with pytest.raises(BodyAborted, match="off"):
        await anext(parts)


async def test_a_channel_that_is_lost_is_an_error_before_the_answer_and_an_abort_after_it(
    asking: Any,
) -> None:
    asking.lost()
    with pytest.raises(ChannelLost):
        await asking.answered
    asking.lost()
    with pytest.raises(BodyAborted):
        await anext(asking.parts())


def test_a_received_file_is_closed_once_and_not_read_after_that() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    file = ReceivedFile(descriptor)
    assert file.fileno() == descriptor
    file.close()
    file.close()
    with pytest.raises(BodyAborted):
        file.fileno()
