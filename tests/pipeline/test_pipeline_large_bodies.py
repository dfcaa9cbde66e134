"""Large bodies through the whole pipeline: what is asked of upstream, and what clients get."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pipeline_house import House, Scripted, content
from pipeline_origin import PIECE, RangeOrigin, cut_after

from edgeproxy.config import Fill as FillSettings
from edgeproxy.errors import BodyAborted
from edgeproxy.message import FileSlice, Headers, Response
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected

KiB = 1 << 10
MiB = 1 << 20
BODY = bytes(range(256)) * (40 * KiB)  # 10 MiB: three segments
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def origin(house: House) -> RangeOrigin:
    origin = RangeOrigin(BODY)
    house.upstream.answers("/big", origin)
    return origin


async def get(house: House, **fields: str) -> tuple[int, bytes, str]:
    return await house.get("/big", **fields)


async def into(taken: bytearray, response: Response) -> None:
    try:
        async for part in response.body.parts():
            assert not isinstance(part, FileSlice)
            taken += part
    finally:
        await response.body.aclose()


async def get_range(house: House, start: int, end: int) -> bytes:
    status, data, _ = await get(house, Range=f"bytes={start}-{end - 1}")
    assert status == 206
    return data


def known(house: House, body: bytes = BODY, **changes: Any) -> None:
    """The site knows fields, size and digest of everything beforehand."""
    digest = hashlib.sha256(body).hexdigest()
    fields = Headers((("ETag", f'"{digest}"'), ("Accept-Ranges", "bytes")))
    house.site.rules = Rules(ttl=1e6, immutable=True)
    house.site.shape = lambda plan: replace(
        plan,
        rules=replace(plan.rules, offline=house.site.rules.offline),
        known=fields,
        expected=Expected(digest, len(body)),
        keep_authorization=False,
        **changes,
    )


# -- ranges fetch what they touch ------------------------------------------------------------------


async def test_the_first_range_goes_upstream_as_it_is(house: House, origin: RangeOrigin) -> None:
    assert await get_range(house, 5 * MiB, 5 * MiB + 100) == BODY[5 * MiB : 5 * MiB + 100]
    assert origin.asked == [(5 * MiB, 5 * MiB + 100)]


async def test_further_ranges_fetch_only_what_is_absent_up_to_the_end_of_their_segment(
    house: House, origin: RangeOrigin
) -> None:
    await get_range(house, 5 * MiB, 6 * MiB)
    assert await get_range(house, 5 * MiB + 7, 6 * MiB + 9) == BODY[5 * MiB + 7 : 6 * MiB + 9]
    assert origin.asked == [(5 * MiB, 6 * MiB), (6 * MiB, 8 * MiB)]
    assert await get_range(house, 6 * MiB, 8 * MiB) == BODY[6 * MiB : 8 * MiB]
    assert len(origin.asked) == 2


async def test_a_range_that_is_here_is_a_hit(house: House, origin: RangeOrigin) -> None:
    await get_range(house, 0, 100)
    _, _, outcome = await get(house, Range="bytes=10-20")
    assert outcome == "hit"
    await house.fills_end()
    _, data, outcome = await get(house, Range="bytes=10-20")
    assert (data, outcome) == (BODY[10:21], "hit"), "also after the fill was given up"
    assert origin.sent == 100


@pytest.mark.parametrize("text", ["bytes=-100", "bytes=10485000-"])
async def test_a_suffix_of_something_unknown_fetches_the_suffix(
    house: House, origin: RangeOrigin, text: str
) -> None:
    status, data, _ = await get(house, Range=text)
    assert status == 206
    assert data == BODY[-len(data) :]
    assert origin.sent == len(data)


async def test_several_ranges_fetch_their_segments(house: House, origin: RangeOrigin) -> None:
    status, data, _ = await get(house, Range="bytes=0-9, 9000000-9000009")
    assert status == 206
    assert BODY[:10] in data
    assert BODY[9000000:9000010] in data
    assert origin.sent < 2 * 4 * MiB


async def test_many_readers_of_one_cold_range_make_one_exchange(house: House, origin: RangeOrigin) -> None:
    answers = await asyncio.gather(*(get_range(house, 4 * MiB, 5 * MiB) for _ in range(20)))
    assert set(answers) == {BODY[4 * MiB : 5 * MiB]}
    assert origin.sent == 1 * MiB


async def test_a_range_far_ahead_does_not_wait_for_all_before_it(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NEAR_SECONDS", "NEAR_SECONDS_SMALL"):
        monkeypatch.setattr(f"edgeproxy.pipeline.pace.{name}", 0.0)
    origin.gate = asyncio.Event()
    whole = asyncio.ensure_future(get(house))
    await house.settle()
    ahead = asyncio.ensure_future(get(house, Range="bytes=9000000-9000009"))
    await house.settle()
    assert len(origin.asked) == 2
    origin.gate.set()
    assert (await ahead)[1] == BODY[9000000:9000010]
    assert (await whole)[1] == BODY
    await house.fills_end()
    assert house.store.kept


async def test_the_whole_is_put_together_from_ranges(house: House, origin: RangeOrigin) -> None:
    for start in (8 * MiB, 0, 4 * MiB):
        await get_range(house, start, min(start + 4 * MiB, len(BODY)))
    assert (await get(house))[1] == BODY
    await house.fills_end()
    assert origin.sent == len(BODY)
    assert (await get(house))[2] == "hit"


async def test_an_answer_that_cannot_be_combined_is_passed_on(house: House, origin: RangeOrigin) -> None:
    origin.tag = ""
    assert await get_range(house, 100, 200) == BODY[100:200]
    assert house.store.partials == []
    origin.tag = 'W/"weak"'
    assert await get_range(house, 100, 200) == BODY[100:200]
    assert house.store.partials == []


async def test_a_range_of_something_private_is_for_one_client(house: House, origin: RangeOrigin) -> None:
    origin.fields = (("Cache-Control", "private"),)
    assert await get_range(house, 100, 200) == BODY[100:200]
    assert house.store.partials == []


async def test_an_origin_without_ranges_sends_the_whole_once(house: House, origin: RangeOrigin) -> None:
    origin.serves_ranges = False
    assert await get_range(house, 9 * MiB, 9 * MiB + 9) == BODY[9 * MiB : 9 * MiB + 9]
    assert await get_range(house, 0, 9) == BODY[:9]
    assert (await get(house))[1] == BODY
    assert len(origin.asked) == 1


# -- origins that break, lie and change ------------------------------------------------------------


async def test_a_cut_body_goes_on_where_it_stopped(house: House, origin: RangeOrigin) -> None:
    origin.faults = {0: cut_after(50), 1: cut_after(3)}
    assert (await get(house))[1] == BODY
    assert origin.asked[1][0] == 50 * PIECE
    assert origin.asked[2][0] == 53 * PIECE


async def test_an_origin_that_never_gets_on_fails_the_readers(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeproxy.pipeline.ranged_source.BACKOFF_SECONDS", 0.001)
    origin.faults = {0: cut_after(10), **{n: cut_after(0) for n in range(1, 20)}}
    with pytest.raises(BodyAborted):
        await get(house)
    await house.fills_end()
    assert len(origin.asked) < 10
    origin.faults = {}
    assert (await get(house))[1] == BODY
    assert origin.asked[-1][0] == 10 * PIECE, "what was there has been kept"


@pytest.mark.parametrize(
    "lie",
    [
        lambda answer: replace(answer, fields=(*answer.fields[:-1], ("Content-Range", "bytes 0-9/10"))),
        lambda answer: replace(answer, fields=answer.fields[:-1]),
        lambda answer: replace(answer, length=7),
        lambda answer: Scripted(503, pieces=(b"busy",)),
        lambda answer: Scripted(200, (("Content-Type", "text/html"),), (b"<html>",)),
    ],
)
async def test_a_wrong_answer_to_a_range_is_noticed(
    house: House,
    origin: RangeOrigin,
    lie: Callable[[Scripted], Scripted],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgeproxy.pipeline.ranged_source.BACKOFF_SECONDS", 0.001)
    await get_range(house, 0, 10)
    origin.faults = dict.fromkeys(range(1, 9), lie)
    with suppress(BodyAborted):
        got = await get_range(house, 6 * MiB, 6 * MiB + 10)
        assert got == BODY[6 * MiB : 6 * MiB + 10]
    assert house.metrics.value("upstream_lies_total", "one") or house.metrics.value(
        "upstream_changed_total", "one"
    )
    await house.fills_end()
    origin.faults = {}
    assert (await get(house))[1] == BODY


async def test_what_has_changed_upstream_is_not_combined(house: House, origin: RangeOrigin) -> None:
    await get_range(house, 0, 10)
    origin.tag, origin.body = '"v2"', BODY[::-1]
    with pytest.raises(BodyAborted):
        await get_range(house, 6 * MiB, 6 * MiB + 10)
    await house.fills_end()
    assert house.store.partials == []
    assert (await get(house))[1] == BODY[::-1]


async def test_parts_that_are_stale_are_confirmed_before_use(house: House, origin: RangeOrigin) -> None:
    await get_range(house, 0, 1000)
    await house.fills_end()
    house.now += 100
    assert await get_range(house, 500, 1500) == BODY[500:1500]
    assert origin.asked[1][0] == 1000
    assert house.upstream.requests[1].headers.get("If-Range") == '"v1"'
    await house.fills_end()
    house.now += 100
    origin.tag, origin.body = '"v2"', BODY[::-1]
    assert await get_range(house, 0, 10) == BODY[::-1][:10]


async def test_a_body_found_damaged_is_fetched_again(house: House, origin: RangeOrigin) -> None:
    await get_range(house, 0, 1000)
    await house.fills_end()
    house.store.partials[0].bad.add(7)
    house.store.partials[0].data[7] ^= 1
    assert await get_range(house, 0, 1000) == BODY[:1000]
    assert (7, 8) in origin.asked


# -- digests ---------------------------------------------------------------------------------------


async def test_a_wrong_body_is_completed_to_nobody_and_a_resume_gets_the_whole(
    house: House, origin: RangeOrigin
) -> None:
    known(house)
    origin.body = BODY[:-5] + b"x" + BODY[-4:]
    response = await house.ask("/big")
    taken = bytearray()
    with pytest.raises(BodyAborted):
        await into(taken, response)
    assert len(taken) < len(BODY)
    await house.fills_end()
    assert len(house.store.quarantined) == 1
    origin.body = BODY
    status, data, _ = await get(house, Range=f"bytes={len(taken)}-")
    assert (status, data) == (200, BODY), "a client with wrong bytes begins again"
    house.now += 3600
    assert (await get(house, Range="bytes=0-9"))[0] == 206


async def test_a_repr_digest_of_the_origin_is_compared(house: House, origin: RangeOrigin) -> None:
    said = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    origin.fields = (*origin.fields, ("Repr-Digest", f"sha-256=:{said}:"))
    with pytest.raises(BodyAborted):
        await get(house)


async def test_a_range_at_the_end_does_not_wait_for_gigabytes(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeproxy.pipeline.sparse_body.TAIL_PATIENCE_SECONDS", 0.05)
    known(house)
    assert await get_range(house, len(BODY) - 100, len(BODY)) == BODY[-100:]
    assert origin.sent <= 4 * MiB


async def test_who_wants_it_gets_the_digest(house: House, origin: RangeOrigin) -> None:
    known(house)
    response = await house.ask("/big", Want_Repr_Digest="sha-256=10")
    assert "sha-256=:" in response.headers.get("Repr-Digest")
    await content(response)
    response = await house.ask("/big")
    assert "Repr-Digest" not in response.headers
    await content(response)


# -- one body, many names --------------------------------------------------------------------------


async def test_known_bytes_under_another_name_are_a_hit(house: House, origin: RangeOrigin) -> None:
    known(house)
    house.upstream.answers("/fork", Scripted(500))
    assert (await get(house))[1] == BODY
    await house.fills_end()
    requests = len(house.upstream.requests)
    assert await house.get("/fork") == (200, BODY, "hit")
    assert len(house.upstream.requests) == requests


async def test_a_second_name_joins_the_running_fill(house: House, origin: RangeOrigin) -> None:
    known(house)
    origin.gate = asyncio.Event()
    first = asyncio.ensure_future(get(house))
    await house.settle()
    second = asyncio.ensure_future(house.get("/fork"))
    await house.settle()
    origin.gate.set()
    assert (await first)[1] == (await second)[1] == BODY
    await house.fills_end()
    assert {key.rpartition("/")[2] for key, kept in house.store.kept.items() if kept} == {"big", "fork"}
    assert origin.sent == len(BODY)


async def test_parts_are_found_by_digest_under_another_name(house: House, origin: RangeOrigin) -> None:
    known(house)
    await get_range(house, 0, 100)
    await house.fills_end()
    sent = origin.sent
    house.upstream.answers("/fork", origin)
    status, data, outcome = await house.get("/fork", Range="bytes=0-99")
    assert (status, data, outcome) == (206, BODY[:100], "hit")
    assert origin.sent == sent


async def test_offline_serves_what_is_here(house: House, origin: RangeOrigin) -> None:
    known(house)
    await get_range(house, 0, 100)
    await house.fills_end()
    house.site.rules = Rules(ttl=1e6, immutable=True, offline=True)
    assert (await get(house, Range="bytes=0-99"))[1] == BODY[:100]
    assert (await get(house, Range="bytes=9000000-9000001"))[0] == 504


# -- known beforehand, laid out differently ----------------------------------------------------------


async def test_what_is_known_answers_before_the_first_byte_and_fetches_what_is_asked(
    house: House, origin: RangeOrigin
) -> None:
    known(house)
    response = await house.ask("/big", Range=f"bytes={5 * MiB}-{5 * MiB + 9}")
    assert response.headers.get("ETag") == f'"{SHA256}"'
    assert response.headers.get("Content-Range") == f"bytes {5 * MiB}-{5 * MiB + 9}/{len(BODY)}"
    assert await content(response) == BODY[5 * MiB : 5 * MiB + 10]
    assert origin.asked == [(5 * MiB, 6 * MiB)], "a little more"


class Framed:
    """A head, the second half of the body, a mark, its first half."""

    size = 5 + len(BODY) + 1

    def pieces(self, start: int, end: int) -> list[bytes | tuple[int, int]]:
        half, found, at = len(BODY) // 2, [], 0
        whole: list[bytes | tuple[int, int]] = [b"head:", (half, len(BODY)), b"|", (0, half)]
        for piece in whole:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            low, high = max(start - at, 0), min(end - at, length)
            if low < high:
                shifted = piece[low:high] if isinstance(piece, bytes) else (piece[0] + low, piece[0] + high)
                found.append(shifted)
            at += length
        return found  # type: ignore[return-value]


LAID = b"head:" + BODY[len(BODY) // 2 :] + b"|" + BODY[: len(BODY) // 2]


@pytest.mark.parametrize("is_stored", [False, True], ids=["arriving", "stored"])
@pytest.mark.parametrize(
    ("start", "end"),
    [(0, len(LAID)), (0, 7), (3, 5), (5 * MiB, 5 * MiB + 9), (len(LAID) - 4, len(LAID))],
)
async def test_ranges_of_a_layout_are_ranges_of_what_is_sent(
    house: House, origin: RangeOrigin, is_stored: bool, start: int, end: int
) -> None:
    known(house, layout=Framed())
    if is_stored:
        assert (await get(house))[1] == LAID
        await house.fills_end()
    response = await house.ask("/big", Range=f"bytes={start}-{end - 1}")
    assert (response.status, response.body.length) == (206, end - start)
    assert response.headers.get("Content-Range") == f"bytes {start}-{end - 1}/{len(LAID)}"
    assert await content(response) == LAID[start:end]
    is_literal = end <= len("head:")  # takes nothing of the body
    assert (response.outcome.cache.value == "hit") is (is_stored or is_literal)
    if not is_stored and end - start < 100:
        assert origin.sent <= 4 * MiB + MiB


async def test_a_range_beyond_a_layout_is_refused(house: House, origin: RangeOrigin) -> None:
    known(house, layout=Framed())
    response = await house.ask("/big", Range=f"bytes={len(LAID)}-")
    assert (response.status, response.headers.get("Content-Range")) == (416, f"bytes */{len(LAID)}")


# -- leaving, purging, failing stores --------------------------------------------------------------


async def test_a_fill_nobody_reads_ends_and_its_bytes_stay(house: House, origin: RangeOrigin) -> None:
    origin.gate = asyncio.Event()
    response = await house.ask("/big")
    parts = response.body.parts()
    await anext(parts)
    await parts.aclose()  # type: ignore[attr-defined]
    await response.body.aclose()
    await house.fills_end()
    assert house.store.partials[0].spans.total == PIECE
    origin.gate = None
    assert (await get(house))[1] == BODY
    assert origin.asked[-1][0] == PIECE


async def test_a_wanted_fill_goes_on_without_readers(house: House, origin: RangeOrigin) -> None:
    known(house, finish_without_readers=True)
    await get_range(house, 0, 10)
    await house.fills_end()
    assert (await get(house))[2] == "hit"
    assert origin.sent == len(BODY)


async def test_a_purge_makes_a_running_fill_unjoinable(house: House, origin: RangeOrigin) -> None:
    origin.gate = asyncio.Event()
    first = asyncio.ensure_future(get(house))
    await house.settle()
    house.store.sequence += 1
    second = asyncio.ensure_future(get(house))
    await house.settle()
    origin.gate.set()
    assert (await first)[1] == (await second)[1] == BODY
    assert origin.sent == 2 * len(BODY)


async def test_a_store_that_fails_leaves_the_clients_their_bytes(house: House, origin: RangeOrigin) -> None:
    house.store.fail_writes_after = 3 * MiB
    got = await asyncio.gather(get(house), get(house))
    assert [data for _, data, _ in got] == [BODY, BODY]
    assert house.store.kept == {}
    await house.fills_end()
    assert house.store.partials[0].spans.total, "what the store has taken stays"
    house.store.fail_writes_after = 1
    assert (await get(house))[1] == BODY, "the rest again for each client alone"
    await house.fills_end()
    house.store.partials.clear()
    house.store.fail_writes_after = 0
    assert (await get(house))[1] == BODY


# -- side by side ----------------------------------------------------------------------------------


@pytest.fixture
async def wide() -> AsyncIterator[House]:
    house = House(FillSettings(window=1 << 20, fetches=4))
    yield house
    await house.tasks.aclose()
    house.threads.shutdown()


async def test_the_number_of_exchanges_has_a_bound(wide: House) -> None:
    origin = RangeOrigin(BODY * 4, gate=asyncio.Event())
    wide.upstream.answers("/big", origin)
    asked = [
        asyncio.ensure_future(get_range(wide, start, start + 10)) for start in range(0, 40 * MiB, 4 * MiB)
    ]
    await wide.settle()
    assert len(origin.asked) == 1 + 4, "the first one is over"
    assert origin.gate is not None
    origin.gate.set()
    origin.gate = None
    for start, data in zip(range(0, 40 * MiB, 4 * MiB), await asyncio.gather(*asked), strict=True):
        assert data == origin.body[start : start + 10]
