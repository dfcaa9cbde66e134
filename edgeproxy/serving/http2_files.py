"""File content as DATA frames, two ways: by the kernel from the page cache where the transport is plain,
else by one read into memory that has the heads of the frames in its gaps. Neither waits for a disk."""

from __future__ import annotations

import os
import socket
from asyncio import Future
from collections.abc import Callable
from typing import Any

from edgeproxy.errors import BodyAborted
from edgeproxy.message import OpenFile
from edgeproxy.serving import page_cache
from edgeproxy.serving.ending import is_secured
from edgeproxy.serving.http2_frames import DATA, END_STREAM, HEAD, HEAD_BYTES, frame_head

SPARE_BUFFERS = 2
_CORK = getattr(socket, "TCP_CORK", None)


class Buffers:
    """Memory for file content on its way to one transport, used again once the transport has passed
    it on: fresh memory would cost as much as reading the file."""

    __slots__ = ("_lent", "_spare")

    def __init__(self) -> None:
        self._lent: list[bytearray] = []
        self._spare: list[bytearray] = []

    def lend(self, size: int) -> bytearray:
        if self._spare and len(self._spare[-1]) >= size:
            buffer = self._spare.pop()
        else:
            buffer = bytearray(size)
        self._lent.append(buffer)
        return buffer

    def settle(self, *, passed_on: bool) -> None:
        """What was lent has been written; where it waits in the transport it must stay as it is."""
        if self._lent:
            if passed_on:
                self._spare = self._lent[-SPARE_BUFFERS:]
            self._lent = []


def read_frames(
    file: OpenFile, offset: int, size: int, frame_max: int, stream_id: int, *, ends: bool, buffers: Buffers
) -> tuple[memoryview, int]:
    """Frames of at most `size` bytes of content, and how many they have; with `ends` the last one ends
    the stream, if they are all. Raises BlockingIOError if they must come from a disk, BodyAborted if
    they cannot be had."""
    step = frame_max + HEAD_BYTES
    whole = size + HEAD_BYTES * -(-size // frame_max)
    buffer = buffers.lend(whole)
    view = memoryview(buffer)[:whole]
    gaps = range(0, whole, step)
    places = [view[at + HEAD_BYTES : at + step] for at in gaps]
    try:
        count = page_cache.gather(file.fileno(), places, offset)
    except BlockingIOError:
        raise
    except OSError as error:
        raise BodyAborted(f"reading a body: {error.strerror}") from error
    if not count:
        raise BodyAborted("a file is shorter than its body")
    left = count
    for at in gaps:
        here = min(frame_max, left)
        if here <= 0:
            break
        left -= here
        flags = END_STREAM if ends and not left and count == size else 0
        HEAD.pack_into(buffer, at, here << 8 | DATA, flags, stream_id)
    return view[: count + HEAD_BYTES * -(-count // frame_max)], count


class KernelSender:
    """Sends frames of files over one plain transport without passing through us. Where the socket is full
    the transport goes on with the frame that was begun; `is_waiting` until then, and `done` is told."""

    __slots__ = ("_done", "_socket", "_transport", "is_waiting")

    def __init__(self, transport: Any, connection: Any, done: Callable[[], None]) -> None:
        self._transport = transport
        self._socket = connection
        self._done = done
        self.is_waiting = False

    def send(
        self, file: OpenFile, offset: int, size: int, frame_max: int, stream_id: int, *, ends: bool
    ) -> int:
        """Send frames of at most `size` bytes of content until the socket is full; how many they have.
        `file` is kept by the transport until it has sent them. Raises as read_frames does; RuntimeError
        if the connection cannot go on."""
        descriptor = file.fileno()
        if not page_cache.holds(descriptor, offset, size):
            raise BlockingIOError
        if os.fstat(descriptor).st_size < offset + size:
            raise BodyAborted("a file is shorter than its body")
        self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, 1)  # else each head would be a packet
        sent = 0
        try:
            while sent < size:
                here = min(frame_max, size - sent)
                flags = END_STREAM if ends and sent + here == size else 0
                self._transport.write(frame_head(DATA, flags, stream_id, here))
                waiter = self._transport.sendfile(file, offset + sent, here)
                sent += here
                if waiter is not None:
                    self.is_waiting = True
                    waiter.add_done_callback(self._passed)
                    break
            self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, 0)
        except (OSError, RuntimeError) as error:
            raise BodyAborted(f"sendfile: {error}") from error
        # sendfile ends in silence at the end of a file that shrank: a frame may have been cut short.
        if os.fstat(descriptor).st_size < offset + sent:
            raise RuntimeError("a file shrank while it was sent")
        return sent

    def _passed(self, waiter: Future[None]) -> None:
        self.is_waiting = False
        # A failure is the connection's, and told to its protocol.
        if not waiter.cancelled() and waiter.exception() is None:
            self._done()


def kernel_sender(transport: Any, done: Callable[[], None]) -> KernelSender | None:
    """None where the kernel cannot send files for `transport`."""
    connection = transport.get_extra_info("socket")
    if _CORK is None or connection is None or is_secured(transport) or not hasattr(transport, "sendfile"):
        return None
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return KernelSender(transport, connection, done)
