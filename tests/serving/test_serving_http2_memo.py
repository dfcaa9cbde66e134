from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_stand import Serve
from stands.http2_client import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Http2Client,
    asking,
    field_block,
    frame,
    headers,
    reset,
    window,
)
from stands.http2_client import (
    settings as settings_frame,
)
from test_serving_request_memo import Kept, start

from edgeproxy.config import Limits, Log
from edgeproxy.serving.http2_memo import memo_key

INDEXED = b"\x82\x86\x84\x41\x01x"  # GET, http, /, and an authority for the dynamic table
AGAIN = b"\x82\x86\x84\xbe"  # the same by the table


def block(stream: int, data: bytes) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, data)


@pytest.mark.parametrize("size", [0, 10, 16384, 16385, 600_000])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_known_fields_are_answered_without_asking_in_the_same_way(
    serve: Serve, method: str, size: int
) -> None:
    kept = Kept(b"c" * size)
    served = await start(serve, kept)
    client = await served.http2()
    pairs = asking("/a", method=method)
    first = await client.ask(1, pairs)
    assert first.body == (b"" if method == "HEAD" else kept.data)
    assert first.get("content-length") == str(size)
    for stream in (3, 5, 7):
        again = await client.ask(stream, pairs)
        assert (again.status, again.fields, again.body) == (200, first.fields, first.body)
    assert kept.asked == 1
    assert kept.uses >= 1
    assert served.metrics.value("requests_total", "files", "hit", "200") == 4
    assert served.metrics.value("client_bytes_total", "files") == (0 if method == "HEAD" else 4 * size)


async def test_a_block_is_known_only_as_long_as_the_table_stays(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    client = await served.http2()
    client.send(block(1, INDEXED), block(3, AGAIN), block(5, AGAIN), block(7, AGAIN))
    for stream in (1, 3, 5, 7):
        assert (await client.answer(stream)).status == 200
    asked = kept.asked
    # Now entry 62 is another authority: the same bytes are another request.
    client.send(block(9, b"\x82\x86\x84\x41\x01y"), block(11, AGAIN))
    assert (await client.answer(11)).status == 200
    assert kept.asked > asked


async def test_one_connection_knows_what_another_has_asked(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    for _ in range(3):
        client = await served.http2()
        assert (await client.ask(1, asking("/a"))).body == b"content"
    assert kept.asked == 1
    assert (await served.say(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).endswith(b"content")
    assert kept.asked == 2, "HTTP/1 remembers for itself"


@pytest.mark.parametrize(
    "more", [("cookie", "a=b"), ("authorization", "x"), ("range", "bytes=0-1"), ("te", "trailers")]
)
async def test_what_depends_on_more_than_the_target_is_asked_each_time(
    serve: Serve, more: tuple[str, str]
) -> None:
    kept = Kept()
    served = await start(serve, kept)
    client = await served.http2()
    for stream in (1, 3, 5):
        await client.ask(stream, asking("/a", more))
    assert kept.asked == 3


@pytest.mark.parametrize("ending", ["fresh", "purged"])
async def test_what_is_no_longer_fresh_or_was_purged_is_asked_again(serve: Serve, ending: str) -> None:
    kept = Kept()
    sequence = 0
    served = await start(serve, kept, sequence=lambda: sequence)
    client = await served.http2()
    for stream in (1, 3):
        await client.ask(stream, asking("/a"))
    if ending == "fresh":
        kept.now = 2000.0
    else:
        sequence = 1
    await client.ask(5, asking("/a"))
    assert kept.asked == 2


async def test_the_age_is_that_of_now(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    client = await served.http2()
    await client.ask(1, asking("/a"))
    assert (await client.ask(3, asking("/a"))).get("age") == "100"
    kept.now += 7
    assert (await client.ask(5, asking("/a"))).get("age") == "107"
    assert kept.asked == 1


@pytest.mark.parametrize("size", [5_000, 100_000])
async def test_windows_hold_for_remembered_answers_too(serve: Serve, size: int) -> None:
    kept = Kept(b"c" * size)
    served = await start(serve, kept)
    client = await served.http2()
    await client.ask(1, asking("/a"))
    narrow = await served.http2(generous=False, values=[(4, 1000)])
    narrow.send(headers(1, asking("/a")))
    await narrow.until(lambda c: 1 in c.answers and len(c.answers[1].body) == 1000)
    await narrow.ponged()
    assert narrow.answers[1].body == b"c" * 1000
    narrow.send(window(1, 500))
    await narrow.until(lambda c: len(c.answers[1].body) == 1500)
    narrow.send(reset(1), settings_frame((4, 1 << 20)), window(0, 1 << 20))
    assert (await narrow.ask(3, asking("/a"))).body == kept.data
    assert kept.asked == 1


async def test_a_smaller_table_of_the_clients_is_acknowledged_in_the_next_block(serve: Serve) -> None:
    kept = Kept()
    served = await start(serve, kept)
    client = await served.http2()
    await client.ask(1, asking("/a"))
    await client.ask(3, asking("/a"))
    client.send(settings_frame((1, 0)))
    await client.ask(5, asking("/a"))
    await client.ask(7, asking("/a"))
    first = [f.payload[:1] for f in client.frames if f.kind == HEADERS]
    assert first == [b"\x88", b"\x88", b"\x20", b"\x88"]


async def test_what_was_answered_from_memory_is_logged_as_http_2(serve: Serve, tmp_path: Any) -> None:
    kept = Kept()
    file = tmp_path / "access.log"
    served = await start(serve, kept, log=Log(access="combined", access_file=str(file)))
    client = await served.http2()
    for stream in (1, 3, 5):
        await client.ask(stream, asking("/a"))
    assert served.log is not None
    served.log.close()
    assert file.read_text().count('"GET /a HTTP/2" 200 7') == 3


async def test_many_answers_of_one_read_leave_in_the_order_of_their_streams(serve: Serve) -> None:
    kept = Kept(b"c" * 3000)
    served = await start(serve, kept, limits=Limits(drain_timeout=0.2, write_buffer=8192))
    client = await served.http2(values=[(4, 1 << 30)])
    client.send(window(0, 1 << 30))
    await client.ask(1, asking("/a"))
    streams = range(3, 1603, 2)
    for first in range(0, len(streams), 100):
        some = streams[first : first + 100]
        client.send(*(block(stream, field_block(asking("/a"))) for stream in some))
        for stream in some:
            assert (await client.answer(stream)).body == kept.data
    assert kept.asked == 1


@given(st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=4)), max_size=4), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_different_fields_have_different_keys(pairs: list[tuple[bytes, bytes]], draw: st.DataObject) -> None:
    clean = [(a.replace(b"\n", b"."), b.replace(b"\n", b".")) for a, b in pairs]
    other = draw.draw(st.permutations(clean))
    assert (memo_key(clean) == memo_key(other)) == (clean == other)


async def test_it_is_off_when_switched_off_and_for_trusted_peers(serve: Serve) -> None:
    for options in ({"limits": Limits(memo=0, drain_timeout=0.2)}, {"trusted_clients": ["127.0.0.1"]}):
        kept = Kept()
        served = await start(serve, kept, **options)
        client: Http2Client = await served.http2()
        for stream in (1, 3, 5):
            assert (await client.ask(stream, asking("/a"))).status == 200
        assert kept.asked == 3
