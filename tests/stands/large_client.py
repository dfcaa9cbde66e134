"""Clients of large bodies that know what they must get."""

from __future__ import annotations

import random
import time

from stands.large_origin import Large
from stands.node import Node, eventually
from stands.raw_client import Address, RawAnswer, RawClient, request

MIB = 1 << 20
SLACK = 4 * MIB  # what lies in the socket buffers of an exchange that is ended early


def settled(node: Node) -> bool:
    """Whether soon no fill runs any more."""
    return eventually(lambda: node.metric("fills") == 0)


def part_of(large: Large, dice: random.Random) -> tuple[int, int]:
    """Some range of it, short or long."""
    length = dice.choice([100, 50_000, 2 * MIB, 9 * MIB])
    start = dice.randrange(max(1, large.size - length))
    return start, min(large.size, start + length)


def ranged(node: Node, path: str, start: int, end: int, *fields: tuple[str, str]) -> RawAnswer:
    """Ask for bytes [start, end)."""
    return node.get(path, [("Range", f"bytes={start}-{end - 1}"), *fields], timeout=40)


def is_right(answer: RawAnswer, large: Large, start: int, end: int) -> bool:
    """Whether a complete answer to a range is what it must be."""
    if answer.status == 200:
        return answer.body == large.bytes()
    said = f"bytes {start}-{end - 1}/{large.size}"
    is_that = answer.status == 206 and answer.get("content-range") == said
    return is_that and answer.body == large.bytes(start, end)


def read_all(node: Node, path: str, large: Large, seed: int) -> str:
    """What went wrong when a whole and some ranges were read; "" for nothing."""
    dice = random.Random(seed)
    answer = node.get(path, timeout=40)
    if not answer.complete or answer.body != large.bytes():
        return f"whole: {answer.status} {len(answer.body)} {answer.ended}"
    for _ in range(3):
        start, end = part_of(large, dice)
        answer = ranged(node, path, start, end)
        if not answer.complete or not is_right(answer, large, start, end):
            return f"{start}-{end}: {answer.status} {len(answer.body)} {answer.ended}"
    return ""


def begin(node: Node, path: str, size: int) -> RawClient:
    """A reader of the whole that has got `size` bytes and waits for more."""
    client = RawClient(node.http)
    client.send(request(path))
    received = 0
    while received < size:
        piece = client.read_some(MIB)
        assert piece, "the answer ended early"
        received += len(piece)
    return client


def drip(address: Address, path: str, large: Large, rate: float, until: float) -> tuple[int, bool]:
    """Read at `rate` bytes a second until the moment (monotonic clock) or the end comes: how many bytes, and
    whether all were right and came."""
    with RawClient(address, 30, receive_buffer=64 << 10) as client:
        client.send(request(path))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.read_some(4096)
            if not piece:
                return 0, False
            head += piece
        data, received = head.partition(b"\r\n\r\n")[2], 0
        began = time.monotonic()
        while True:
            if data != large.bytes(received, received + len(data)):
                return received, False
            received += len(data)
            now = time.monotonic()
            if received >= large.size or now > until:
                return received, True
            time.sleep(max(0.0, min(until - now, began + received / rate - now)))
            data = client.read_some(max(8192, int(rate / 20)))
            if not data:
                return received, False
