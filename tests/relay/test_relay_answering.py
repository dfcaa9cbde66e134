"""The filler's end of a channel, talked to in messages."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from relay_stand import NOW, Body, HeldCopy, Repeats, Stand, until

from edgeproxy.message import BytesBody, HeadOnly, Request, Response
from edgeproxy.relay.channel import Channel
from edgeproxy.relay.messages import DECODER, Answer, Ask, ContentEnd, End, Hello, Interim, Taken

ASK = Ask("GET", "/", (), "http", "", "1.1", "", "", "", "", "", 0.0, False, False, None, None, "")


class Talk:
    """A server that says what a test wants, and keeps what it hears."""

    def __init__(self, one: Stand) -> None:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(one.path)
        self.heard: list[Any] = []
        self.is_over = False
        self.channel = Channel(connected, DECODER, self)

    def message(self, message: Any) -> None:
        self.heard.append(message)

    def content(self, data: bytes) -> None:
        self.heard.append(data)

    def lost(self) -> None:
        self.is_over = True


async def _ok(request: Request) -> Response:
    return Response(200, body=BytesBody(b"ok"))


@pytest.mark.parametrize(
    "said", [Hello(), Interim(103, ()), (ASK, ASK)], ids=["hello", "interim", "two at a time"]
)
async def test_what_a_server_never_says_ends_the_channel(relayed: Any, said: Any) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    talk = Talk(relayed(slow))
    for message in said if isinstance(said, tuple) else (said,):
        talk.channel.send(message)
    await until(lambda: talk.is_over)


async def test_the_channel_says_hello_and_answers_one_after_another(relayed: Any) -> None:
    talk = Talk(relayed(_ok))
    for _ in range(3):
        talk.channel.send(ASK)
        await until(lambda: bool(talk.heard) and talk.heard[-1] == b"ok")
        talk.heard[-1] = "seen"
    assert [type(heard).__name__ for heard in talk.heard] == ["Hello", *["Answer", "str"] * 3]
    talk.channel.send(ContentEnd())  # of content that was not wanted: ignored
    talk.channel.send(Taken(1))
    talk.channel.send(ASK)
    await until(lambda: talk.heard[-1] == b"ok")
    talk.channel.close()


@pytest.mark.parametrize(
    ("method", "response", "repeats", "sends"),
    [
        ("GET", Response(200, body=BytesBody(b"data")), True, True),
        ("HEAD", Response(200, body=HeadOnly(4)), True, True),
        ("GET", Response(404, body=BytesBody(b"data")), False, True),
        ("GET", Response(200, body=BytesBody(b"data"), close=True), False, True),
        ("HEAD", Response(404, body=HeadOnly(4)), False, False),
    ],
    ids=["GET", "HEAD", "an error", "a close", "HEAD of an error"],
)
async def test_what_may_be_repeated_comes_with_what_is_needed_for_it(
    relayed: Any, method: str, response: Response, repeats: bool, sends: bool
) -> None:
    async def handler(request: Request) -> Response:
        return Response(
            response.status, body=response.body, close=response.close, reuse=Repeats(HeldCopy(), b"data")
        )

    one: Stand = relayed(handler)
    answered = await one.relay(Request(method, "/"))
    assert (answered.reuse is not None) is repeats
    if answered.reuse is not None:
        assert (answered.reuse.data, answered.reuse.held.fresh_until) == (b"data", NOW + 100)
    talk = Talk(one)
    talk.channel.send(_asking(method))
    await until(lambda: any(isinstance(heard, Answer) for heard in talk.heard))
    await asyncio.sleep(0.02)
    assert (b"data" in talk.heard) is sends
    talk.channel.close()


def _asking(method: str) -> Ask:
    return Ask(method, "/", (), "http", "", "1.1", "", "", "", "", "", 0.0, False, False, None, None, "")


class _Closing(Body):
    """Takes a turn of the loop to be closed, as what has come from upstream does."""

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        await super().aclose()


async def test_who_asks_again_as_soon_as_the_last_part_has_come_is_answered(relayed: Any) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, body=_Closing([b"part"]))

    class Hurried(Talk):
        def message(self, message: Any) -> None:
            super().message(message)
            if isinstance(message, End) and len(self.heard) < 50:
                self.channel.send(Taken(1))
                self.channel.send(ASK)

    talk = Hurried(relayed(answer))
    talk.channel.send(ASK)
    await until(lambda: len(talk.heard) >= 50 or talk.is_over)
    assert not talk.is_over
    assert talk.heard[1:4] == talk.heard[4:7]
    talk.channel.close()
