from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_stand import Serve

from edgeproxy.config import Limits, Log
from edgeproxy.message import (
    Body,
    BytesBody,
    CacheOutcome,
    FileSlice,
    Headers,
    HeadOnly,
    Outcome,
    Part,
    Request,
    Response,
)

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Kept:
    """A stored response that counts how often it was used and how often the handler was asked."""

    def __init__(self, data: bytes = b"content") -> None:
        self.data = data
        self.fresh_until = 2000.0
        self.sequence = 0
        self.now = 1000.25
        self.uses = 0
        self.asked = 0
        self.permit = True

    def fields(self, now: float) -> Headers:
        return Headers([("ETag", '"1"'), ("Age", str(int(now) - 900))])

    def used(self) -> None:
        self.uses += 1

    @property
    def held(self) -> Kept:
        return self

    source = None
    file: KeptInFile | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def body(self) -> Body:
        return BytesBody(self.data)

    async def handler(self, request: Request) -> Response:
        self.asked += 1
        body = HeadOnly(self.size) if request.method == "HEAD" else self.body()
        outcome = Outcome(CacheOutcome.HIT, site="files")
        reuse: Any = self if self.permit else None
        return Response(200, self.fields(self.now), body, outcome, reuse=reuse)


class KeptInFile:
    """A message.KeptFile over a temporary file."""

    def __init__(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY)
        self.unchanged = True

    def __del__(self) -> None:
        os.close(self.fd)

    def fileno(self) -> int:
        return self.fd

    def is_unchanged(self) -> bool:
        return self.unchanged


class InFile(Kept):
    """A stored response whose content is in a file."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(b"")
        self.content = data
        self.file = KeptInFile(path, data)

    @property
    def size(self) -> int:
        return len(self.content)

    def body(self) -> Body:
        assert self.file is not None
        return FileBody(self.file, self.size)


class FileBody:
    def __init__(self, file: KeptInFile, length: int) -> None:
        self.file, self.length = file, length

    async def parts(self) -> AsyncIterator[Part]:
        yield FileSlice(self.file, 0, self.length)

    async def aclose(self) -> None:
        return None


async def start(serve: Serve, kept: Kept, **options: Any) -> Any:
    return await serve(kept.handler, clock=lambda: kept.now, **options)


async def ask(served: Any, head: bytes) -> bytes:
    """Send `head` on a kept connection and read one answer with its content."""
    reader, writer = await served.connect()
    writer.write(head)
    answer = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HEAD"):
        length = int(answer.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        answer += await reader.readexactly(length)
    writer.close()
    return bytes(answer)


@pytest.mark.parametrize("size", [0, 10, 3000, 600_000])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_known_head_is_answered_without_asking_in_the_same_bytes(
    serve: Serve, method: bytes, size: int
) -> None:
    kept = Kept(b"c" * size)
    served = await start(serve, kept)
    head = GET.replace(b"GET", method)
    first = await ask(served, head)
    assert await ask(served, head) == first
    assert await ask(served, head) == first
    assert kept.asked == 1
    assert kept.uses >= 1, "told once a second"
    assert served.metrics.value("requests_total", "files", "hit", "200") == 3
    assert served.metrics.value("client_bytes_total", "files") == (0 if method == b"HEAD" else 3 * size)


async def test_the_head_is_made_again_when_the_second_changes(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    await ask(served, GET)
    assert b"Age: 100\r\n" in await ask(served, GET)
    kept.now = 1001.0
    assert b"Age: 101\r\n" in await ask(served, GET)
    kept.now = 1000.5  # a clock set back
    assert b"Age: 100\r\n" in await ask(served, GET)
    assert kept.asked == 1


async def test_permission_ends_with_freshness_sequence_and_retirement(serve: Serve) -> None:
    kept, current = Kept(), [0]
    served = await start(serve, kept, sequence=lambda: current[0])
    await ask(served, GET)
    await ask(served, GET)
    assert kept.asked == 1
    current[0] = kept.sequence = 1
    await ask(served, GET)
    kept.sequence = 0
    await ask(served, GET)
    assert kept.asked == 2
    kept.sequence = 1
    await ask(served, GET)
    kept.now = 2000.0
    await ask(served, GET)
    assert kept.asked == 3
    kept.now, kept.fresh_until = 1000.0, 0.0
    await ask(served, GET)
    assert kept.asked == 4


@pytest.mark.parametrize(
    "field", [b"Range: bytes=0-", b"Cookie: a", b"Authorization: b", b"If-None-Match: c", b"Cache-Control: x"]
)
async def test_heads_that_ask_for_more_are_never_remembered(serve: Serve, field: bytes) -> None:
    kept = Kept()
    served = await start(serve, kept)
    head = GET[:-2] + field + b"\r\n\r\n"
    await ask(served, head)
    await ask(served, head)
    assert kept.asked == 2


async def test_nothing_is_remembered_for_trusted_peers_without_permission_or_beyond_the_bounds(
    serve: Serve,
) -> None:
    for options in (
        {"trusted_clients": ["127.0.0.0/8"]},
        {"limits": Limits(memo=0)},
        {"limits": Limits(memo_head=9)},
    ):
        kept = Kept()
        served = await start(serve, kept, **options)
        await ask(served, GET)
        await ask(served, GET)
        assert kept.asked == 2
    kept = Kept()
    kept.permit = False
    served = await start(serve, kept)
    await ask(served, GET)
    await ask(served, GET)
    assert kept.asked == 2


async def test_the_memo_is_bounded_and_lets_go_of_what_is_retired(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept, limits=Limits(memo=3))
    for number in range(10):
        await ask(served, GET.replace(b"/a", b"/%d" % number))
    assert served.metrics.gauges["memo_entries"]() == 3
    kept.fresh_until = 0.0
    served.listeners._look()
    assert served.metrics.gauges["memo_entries"]() == 0


async def test_pipelined_known_heads_are_answered_in_order(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    await ask(served, GET)
    assert (await served.say(GET * 20 + LAST)).count(b"content") == 21
    assert kept.asked == 2


HEADS = st.sampled_from(
    [
        GET,
        GET.replace(b"GET", b"HEAD"),
        GET.replace(b"x", b"y"),
        GET[:-2] + b"Range: bytes=0-1\r\n\r\n",
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        GET[:-2] + b"Accept: */*\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    heads=st.lists(HEADS, min_size=1, max_size=8), size=st.sampled_from([0, 5, 5000]), in_file=st.booleans()
)
async def test_the_same_bytes_get_the_same_answers_with_and_without_memo(
    serve: Serve, tmp_path: Path, heads: list[bytes], size: int, in_file: bool
) -> None:
    answers = []
    for memo in (4096, 0):
        data = b"d" * size
        kept = InFile(tmp_path / "body", data) if in_file else Kept(data)
        served = await start(serve, kept, limits=Limits(memo=memo, drain_timeout=0.1))
        answers.append([await served.say(b"".join(heads) + LAST), await served.say(b"".join(heads) + LAST)])
    assert answers[0] == answers[1]


async def test_recalled_answers_are_logged_like_others(serve: Serve, tmp_path: Any) -> None:
    import orjson

    path, kept = tmp_path / "access", Kept()
    served = await start(serve, kept, log=Log(access_file=str(path)))
    await ask(served, GET)
    await ask(served, GET)
    served.log.close()
    first, second = (orjson.loads(line) for line in path.read_bytes().splitlines())
    assert list(first) == list(second)
    for name in ("url", "status", "bytes", "cache", "site", "client", "time", "host"):
        assert first[name] == second[name], name


@pytest.mark.parametrize("size", [10, 600_000, 8 << 20])
async def test_content_in_a_file_is_sent_from_there_without_asking(
    serve: Serve, tmp_path: Path, size: int
) -> None:
    kept = InFile(tmp_path / "body", os.urandom(size))
    served = await start(serve, kept)
    first = await ask(served, GET)
    assert first.endswith(b"\r\n\r\n" + kept.content)
    assert await ask(served, GET) == first
    assert await ask(served, GET.replace(b"GET", b"HEAD")) == first[: -len(kept.content)]
    assert await ask(served, GET.replace(b"GET", b"HEAD")) == first[: -len(kept.content)]
    assert kept.asked == 2
    assert served.metrics.value("client_bytes_total", "files") == 2 * size


async def test_a_file_that_has_changed_or_is_too_large_is_left_to_the_handler(
    serve: Serve, tmp_path: Path
) -> None:
    kept = InFile(tmp_path / "body", b"c" * 1000)
    served = await start(serve, kept)
    await ask(served, GET)
    assert kept.file is not None
    kept.file.unchanged = False
    await ask(served, GET)
    assert kept.asked == 2
    assert served.metrics.value("requests_total", "files", "hit", "200") == 2
    large = InFile(tmp_path / "large", b"c" * ((8 << 20) + 1))
    served = await start(serve, large)
    await ask(served, GET)
    await ask(served, GET)
    assert large.asked == 2


async def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(
    serve: Serve, tmp_path: Path
) -> None:
    kept = InFile(tmp_path / "body", b"c" * (8 << 20))
    served = await start(serve, kept)
    await ask(served, GET)
    assert kept.file is not None
    reader, writer = await served.connect()
    writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")  # the rest is more than sockets hold
    os.truncate(kept.file.path, 1 << 20)
    kept.file.unchanged = False
    with pytest.raises((ConnectionResetError, EOFError)):
        await reader.readexactly(kept.size)
    assert b"Content-Length: 8388608\r\n" in head
    assert kept.asked == 1
    writer.close()


async def test_one_who_reads_slowly_gets_all_of_a_file_after_it_has_left_the_store(
    serve: Serve, tmp_path: Path
) -> None:
    kept = InFile(tmp_path / "body", os.urandom(8 << 20))
    served = await start(serve, kept)
    await ask(served, GET)
    reader, writer = await served.connect()
    writer.write(GET + GET)
    await reader.readuntil(b"\r\n\r\n")
    kept.fresh_until, kept.file = 0.0, None
    served.listeners._look()  # the memo lets go as well; only the transport has it now
    assert await reader.readexactly(kept.size) == kept.content
    writer.close()


async def test_content_in_both_leaves_from_the_file_and_from_memory_where_that_cannot_be(
    serve: Serve, tmp_path: Path
) -> None:
    kept = InFile(tmp_path / "body", b"in the file")
    kept.data = b"in the RAM "
    served = await start(serve, kept)
    await ask(served, GET)
    assert (await ask(served, GET)).endswith(b"in the file")
    assert kept.file is not None
    kept.file.unchanged = False
    assert (await ask(served, GET)).endswith(b"in the RAM ")
    assert kept.asked == 1
