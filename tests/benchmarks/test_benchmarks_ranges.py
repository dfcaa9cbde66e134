import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import bodies, coverage, ranged
from benchmarks.faults import Fault, flipped
from benchmarks.origin import Answering, Counts, _index_page
from benchmarks.peers import PEERS, Varnish
from benchmarks.range_costs import cost
from benchmarks.ranged import Part
from benchmarks.running import fitting, roomy

MIB = 1 << 20
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def _positions(spans: list[coverage.Span]) -> list[int]:
    return [position for start, end in spans for position in range(start, end)]


@given(SPANS)
def test_a_union_has_every_byte_once(spans: list[coverage.Span]) -> None:
    assert _positions(coverage.union(spans)) == sorted(set(_positions(spans)))


@given(SPANS)
def test_repeated_bytes_are_those_beyond_the_first_time(spans: list[coverage.Span]) -> None:
    plain = [span for span in spans if span[0] < span[1]]
    sent = _positions(plain)
    assert coverage.repeated(plain) == len(sent) - len(set(sent))
    twice = sorted({position for position in sent if sent.count(position) > 1})
    assert _positions(coverage.repeated_spans(spans)) == twice


@pytest.mark.parametrize(
    ("spans", "numbers"),
    [
        ([], set()),
        ([(0, 1)], {0}),
        ([(3, 4), (4, 5)], {0, 1}),
        ([(0, 4)], {0}),
        ([(3, 9)], {0, 1, 2}),
        ([(5, 5)], set()),
    ],
)
def test_a_span_touches_the_segments_it_has_bytes_of(spans: list[coverage.Span], numbers: set[int]) -> None:
    assert coverage.segments(spans, 4) == numbers


def test_the_last_segment_of_a_body_may_be_short() -> None:
    assert coverage.segment_bytes({0, 2}, 9, 4) == 4 + 1


def test_the_cost_of_ranges_counts_what_was_sent_again_and_what_was_not_asked_for() -> None:
    parts = [Part(0, MIB), Part(5 * MIB, 6 * MIB), Part(MIB // 2, MIB)]
    spent = cost(parts, [(0, 4 * MIB), (4 * MIB, 8 * MIB), (5 * MIB, 6 * MIB)], 3, 10 * MIB)
    assert (spent.origin_bytes, spent.asked_bytes, spent.touched_bytes) == (9 * MIB, 2 * MIB, 8 * MIB)
    assert (spent.repeated_segments, spent.repeated_bytes) == (1, MIB)


def test_a_fault_strikes_only_an_answer_that_sends_its_byte_and_only_so_often() -> None:
    fault = Fault("cut", 10, 1)
    assert [fault.strikes(0, 10), fault.strikes(11, 20), fault.strikes(10, 11), fault.strikes(0, 20)] == [
        False,
        False,
        True,
        False,
    ]


def test_one_byte_is_flipped_and_no_other() -> None:
    data = bytes(range(10))
    changed = bytes(flipped(memoryview(data), 100, 103))
    assert [at for at in range(10) if changed[at] != data[at]] == [3]
    assert bytes(flipped(memoryview(data), 100, 110)) == data


@asynccontextmanager
async def _origin() -> AsyncIterator[tuple[str, Answering]]:
    answering = Answering()
    server = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answering
    finally:
        server.close()
        await server.wait_closed()


async def _fetch(url: str, target: str, *queues: Iterator[Part], count: int = 1) -> ranged.Fetching:
    return await ranged.fetch_parts(url, target, queues, count, 10)


async def _order(url: str, text: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /-/{text} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def test_clients_that_share_one_list_fetch_every_part_once_and_the_origin_tells_its_spans() -> None:
    target = bodies.path(3_000_000, "parts")
    parts = ranged.apart(3_000_000, 700_000)
    shared = iter(parts)
    async with _origin() as (url, answering):
        done = await _fetch(url, target, shared, shared, shared, count=len(parts))
    assert (done.problems, done.unfinished, done.right_bytes) == ([], 0, 3_000_000)
    assert coverage.union([(start, end) for start, end in answering.counts.spans]) == [(0, 3_000_000)]
    assert answering.counts.body_bytes == 3_000_000


async def test_a_whole_body_is_asked_for_without_a_range() -> None:
    async with _origin() as (url, answering):
        done = await _fetch(url, bodies.path(50_000, "whole"), iter([Part(0, 50_000, whole=True)]))
    assert (done.problems, answering.counts.ranges) == ([], [])


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("cut", "cut off after 40000 bytes"), ("flip", "wrong bytes within")],
)
async def test_what_the_origin_does_wrong_is_told_by_the_client_and_ends(kind: str, problem: str) -> None:
    target = bodies.path(100_000, "fault")
    async with _origin() as (url, _):
        await _order(url, f"fault?path={target}&kind={kind}&at=40000&times=1")
        first = await _fetch(url, target, iter([Part(0, 100_000, whole=True)]))
        second = await _fetch(url, target, iter([Part(0, 100_000, whole=True)]))
    assert [said.startswith(problem) for said in first.problems] == [True]
    assert second.problems == []


async def test_a_stalled_origin_leaves_its_clients_unfinished() -> None:
    target = bodies.path(100_000, "stall")
    async with _origin() as (url, _):
        await _order(url, f"fault?path={target}&kind=stall&at=0&times=1")
        queue = iter([Part(0, 100_000, whole=True)])
        done = await ranged.fetch_parts(url, target, [queue], 1, 0.2)
    assert (done.fetched, done.unfinished) == ([], 1)


async def test_a_client_that_waits_after_wrong_bytes_is_told_apart() -> None:
    target = bodies.path(1 << 20, "slow")
    async with _origin() as (url, _):
        await _order(url, f"fault?path={target}&kind=flip&at=10&times=1")
        queue = iter([Part(0, 1 << 20, whole=True)])
        done = await ranged.fetch_parts(url, f"{target}?rate=1024", [queue], 1, 0.3)
    assert (done.problems, done.unfinished) == (["no end, after wrong bytes"], 0)


@pytest.mark.parametrize(
    ("head", "part", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10", Part(0, 10, whole=True), ""),
        (b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-9/20\r\ncontent-length: 5", Part(5, 10), ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20", Part(5, 10), "status 200"),
        (b"HTTP/1.1 502 B\r\nContent-Length: 0", Part(0, 10, whole=True), "status 502"),
        (b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-8/20\r\nContent-Length: 5", Part(5, 10), "Content-Range"),
        (b"HTTP/1.1 206 P\r\nContent-Length: 5", Part(5, 10), "Content-Range missing"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9", Part(0, 10, whole=True), "Content-Length 9"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", Part(0, 10, whole=True), "no Content-Length"),
    ],
)
def test_a_head_must_announce_the_part_asked_for(head: bytes, part: Part, problem: str) -> None:
    said = ranged._wrong_head(head, part)
    assert said.startswith(problem) if problem else said == ""


def test_the_bytes_of_a_body_follow_from_its_own_path_wherever_it_is_mounted() -> None:
    assert bodies.within("/index/files/host/b/9/a.whl?x=1") == "/b/9/a.whl"
    assert bodies.within("/b/9/a") == "/b/9/a"


def test_peers_with_a_fixed_store_are_given_room_for_the_bodies() -> None:
    peers = [peer for name, peer in PEERS.items() if name not in ("haproxy", "direct")]
    assert [peer.refuses(3 << 30) for peer in roomy(peers, 3 << 30)] == [""] * len(peers)
    assert Varnish(storage_bytes=1 << 30).refuses(1 << 30)


def test_a_body_larger_than_the_disk_is_halved_and_that_is_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    skipped: list[str] = []
    assert fitting(1 << 60, 1, tmp_path, skipped) < 1 << 60
    assert "instead of" in skipped[0]
    assert fitting(1 << 20, 1, tmp_path, []) == 1 << 20


def test_a_page_of_the_index_links_its_body_with_the_digest_of_its_bytes() -> None:
    size = 300_000
    page = _index_page(size, "x").partition(b"\r\n\r\n")[2].decode()
    path, _, digest = page.partition('href="')[2].partition('"')[0].partition("#sha256=")
    assert bodies.size_of(path) == size
    assert digest == hashlib.sha256(bodies.piece(path, 0, size)).hexdigest()


def test_counts_travel_as_json_and_back() -> None:
    assert Counts(**vars(Counts(1, 2, ["0-1"], [[0, 2]]))) == Counts(1, 2, ["0-1"], [[0, 2]])
