"""Frames and descriptors between two ends of a socket."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from relay_stand import until

from edgeproxy.relay.channel import FULL_BYTES, Channel, ChannelLost
from edgeproxy.relay.frames import FRAME_BYTES_MAX, FrameError
from edgeproxy.relay.messages import DECODER, Slice, Taken


@dataclass
class Heard:
    """A Receiver that remembers."""

    came: list[Any] = field(default_factory=list)
    ends: int = 0
    channel: Channel | None = None

    def message(self, message: Any) -> None:
        self.came.append(message)
        if isinstance(message, Slice) and message.is_new and self.channel is not None:
            self.came.append(self.channel.take_descriptor())

    def content(self, data: bytes) -> None:
        self.came.append(data)

    def lost(self) -> None:
        self.ends += 1


def pair() -> tuple[Channel, Heard, Channel, Heard]:
    one, other = socket.socketpair()
    here, there = Heard(), Heard()
    first, second = Channel(one, DECODER, here), Channel(other, DECODER, there)
    here.channel, there.channel = first, second
    return first, here, second, there


async def test_messages_and_content_come_in_order() -> None:
    first, _, second, there = pair()
    big = os.urandom(FRAME_BYTES_MAX)
    first.send(Taken(1))
    first.send_content(big)
    first.send_content(memoryview(b"abc")[1:])
    first.send(Taken(2))
    await until(lambda: len(there.came) == 4)
    assert there.came == [Taken(1), big, b"bc", Taken(2)]
    first.close()
    second.close()


async def test_descriptors_come_with_their_messages_also_when_those_had_to_wait(tmp_path: Path) -> None:
    first, _, second, there = pair()
    first.send_content(bytes(FRAME_BYTES_MAX))  # more than the kernel holds: what follows waits
    for number in range(40):
        path = tmp_path / str(number)
        path.write_text(f"file {number}")
        with open(path, "rb") as file:  # noqa: ASYNC230 - closed before it has been sent
            first.send(Slice(number, 0, 1, True), file.fileno())
    await until(lambda: len(there.came) == 81)
    for number in range(40):
        message, descriptor = there.came[1 + 2 * number : 3 + 2 * number]
        assert message.file == number
        assert os.pread(descriptor, 20, 0) == f"file {number}".encode()
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
    first.close()
    second.close()


async def test_who_sends_much_can_wait_until_it_is_taken() -> None:
    one, other = socket.socketpair()
    first = Channel(one, DECODER, Heard())
    first.send_content(bytes(2 * FULL_BYTES))
    waiting = asyncio.get_running_loop().create_task(first.drained())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    second = Channel(other, DECODER, Heard())
    await asyncio.wait_for(waiting, 30)
    first.close()
    second.close()


async def test_the_end_of_the_other_is_told_once_and_ends_who_waits() -> None:
    first, here, second, _ = pair()
    first.send_content(bytes(FRAME_BYTES_MAX))
    first.send_content(bytes(FRAME_BYTES_MAX))
    second.close()
    await until(lambda: here.ends == 1)
    with pytest.raises(ChannelLost):
        await first.drained()
    first.send(Taken(1))  # into the void
    await asyncio.sleep(0)
    assert here.ends == 1


@pytest.mark.parametrize("data", [b"\0\0\0\0\x07", b"\x01\0\0\0\0\xc1"])
async def test_what_cannot_be_understood_ends_the_channel(data: bytes) -> None:
    one, other = socket.socketpair()
    heard = Heard()
    channel = Channel(one, DECODER, heard)
    other.send(data)
    await until(lambda: heard.ends == 1)
    assert channel.is_closed
    other.close()


async def test_a_descriptor_that_is_missing_is_an_error_and_one_nobody_takes_is_closed(
    tmp_path: Path,
) -> None:
    one, other = socket.socketpair()
    channel = Channel(one, DECODER, Heard())
    with pytest.raises(FrameError):
        channel.take_descriptor()
    reading, writing = os.pipe()
    socket.send_fds(other, [b"\0"], [writing])
    os.close(writing)
    await asyncio.sleep(0.02)
    channel.close()
    assert os.read(reading, 1) == b""  # no other end is open any more
    os.close(reading)
    other.close()
