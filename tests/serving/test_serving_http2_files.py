"""File content over HTTP/2, by the kernel and by reading."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serving_stand import Parts, Serve, answering, until
from stands.http2_client import PREFACE, Http2Client, asking, headers, reset, settings, window

from edgeproxy.message import FileSlice, Part, Request, Response
from edgeproxy.serving.http2_files import Buffers, kernel_sender

CONTENT = os.urandom(3_000_007)
GET = asking("/a")
WIDE = [(4, 1 << 30)]
NARROW = [(4, 1000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(CONTENT)
    return path


class OpenedBody:
    """A file in one part, closed as soon as the server says that it is done."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.length = len(CONTENT)

    async def parts(self) -> AsyncIterator[Part]:
        yield FileSlice(self._file, 0, self.length)

    async def aclose(self) -> None:
        self._file.close()


def files(path: Path) -> Any:
    async def handler(request: Request) -> Response:
        return Response(200, body=OpenedBody(path))

    return handler


@pytest.mark.parametrize("where", ["tcp", "unix"])
@pytest.mark.parametrize("values", [WIDE, NARROW, [*WIDE, (5, 1 << 20)]], ids=["wide", "narrow", "frames"])
async def test_a_file_arrives_whole_however_it_is_sent(
    serve: Serve, path: Path, tmp_path: Path, where: str, values: Any
) -> None:
    if where == "unix":
        address = f"unix:{tmp_path}/s"
        served = await serve(files(path), http=[address])
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
        client = Http2Client(reader, writer)
        client.send(PREFACE + settings(*values))
    else:
        served = await serve(files(path))
        client = await served.http2(values=values)
    if values[0] == (4, 1 << 30):
        client.send(window(0, 1 << 30))
    streams = (1, 3, 5) if values[0][1] > 1000 else (1,)
    client.send(*(headers(stream, GET) for stream in streams))
    for stream in streams:
        assert (await client.answer(stream, 30)).body == CONTENT
    assert served.reports == []
    await client.gone()


async def test_a_slow_reader_gets_the_file_even_if_it_is_closed_before(serve: Serve, path: Path) -> None:
    served = await serve(files(path))
    host, _, port = served.bound[0].rpartition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    client = Http2Client(reader, writer, generous=False)
    client.send(PREFACE + settings(*WIDE) + window(0, 1 << 30) + headers(1, GET))
    await client.until(lambda c: 1 in c.answers and c.answers[1].body)
    assert (await client.answer(1, 30)).body == CONTENT
    await client.gone()


async def test_a_stream_that_is_reset_leaves_the_others_their_frames(serve: Serve, path: Path) -> None:
    served = await serve(files(path))
    client = await served.http2(values=WIDE)
    client.send(window(0, 1 << 30), headers(1, GET), headers(3, GET))
    await client.until(lambda c: 1 in c.answers and c.answers[1].body)
    client.send(reset(1))
    assert (await client.answer(3, 30)).body == CONTENT
    await until(lambda: not len(served.tasks))


async def test_a_file_that_shrank_ends_its_stream(serve: Serve, path: Path) -> None:
    with path.open("rb") as file:
        served = await serve(answering(Parts(FileSlice(file, 0, len(CONTENT) + 9), length=len(CONTENT) + 9)))
        client = await served.http2(values=WIDE)
        client.send(window(0, 1 << 30), headers(1, GET))
        answer = await client.answer(1, 30)
    assert not answer.ended
    assert answer.reset is not None
    assert CONTENT.startswith(answer.body)


def test_memory_is_used_again_only_when_it_was_passed_on() -> None:
    buffers = Buffers()
    one = buffers.lend(100)
    buffers.settle(passed_on=False)
    two = buffers.lend(100)
    assert two is not one
    buffers.settle(passed_on=True)
    assert buffers.lend(50) is two
    assert len(buffers.lend(50)) == 50


class Transport:
    """A transport with or without what the kernel needs."""

    def __init__(self, family: Any, **known: Any) -> None:
        self._known = {"socket": socket.socket(family) if family else None, **known}

    def get_extra_info(self, name: str) -> Any:
        return self._known.get(name)


class FileTransport(Transport):
    def sendfile(self) -> None: ...


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="only Linux can gather heads and files")
@pytest.mark.parametrize(
    ("transport", "able"),
    [
        (lambda: FileTransport(socket.AF_INET), True),
        (lambda: FileTransport(socket.AF_INET6), True),
        (lambda: FileTransport(socket.AF_UNIX), False),
        (lambda: FileTransport(socket.AF_INET, ssl_object=object()), False),
        (lambda: FileTransport(None), False),
        (lambda: Transport(socket.AF_INET), False),
    ],
    ids=["tcp", "tcp6", "unix", "tls", "no socket", "no sendfile"],
)
def test_the_kernel_sends_files_where_nothing_stands_between(transport: Any, able: bool) -> None:
    assert (kernel_sender(transport(), lambda: None) is not None) is able
