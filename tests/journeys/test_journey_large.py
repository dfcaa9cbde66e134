"""Large bodies through a whole node: ranges of what is not there, many clients at once, clients that give up
and begin again, and what the operator is told meanwhile."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stands.large_client import MIB, SLACK, drip, settled
from stands.large_origin import Large, multipart, put_large
from stands.node import PROGRAM, Node, environment, eventually
from stands.origin import Origin
from stands.raw_client import RawAnswer, RawClient, request

StartNode = Callable[..., Node]
SEGMENT = 4 * MIB


def site(origin: Origin, **options: object) -> list[dict[str, object]]:
    return [{"name": "all", "mount": "/", "origin": origin.url, **options}]


def ranged(node: Node, path: str, text: str, *more: tuple[str, str]) -> RawAnswer:
    return node.get(path, [("Range", f"bytes={text}"), *more])


@pytest.fixture
def large(origin: Origin) -> Large:
    return put_large(origin, "/model.bin", 40 * MIB + 4321)


@pytest.fixture
def node(start_node: StartNode, origin: Origin) -> Node:
    return start_node(site(origin))


# -- ranges of what is not there ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("0-999", 0, 1000),
        ("20000000-20001999", 20_000_000, 20_002_000),
        ("-5000", 40 * MIB + 4321 - 5000, 40 * MIB + 4321),
        (f"{40 * MIB}-", 40 * MIB, 40 * MIB + 4321),
        (f"{SEGMENT - 10}-{SEGMENT + 9}", SEGMENT - 10, SEGMENT + 10),
    ],
    ids=["prefix", "middle", "suffix", "tail", "across two segments"],
)
def test_a_range_of_an_absent_body_fetches_only_what_it_touches(
    node: Node, large: Large, text: str, start: int, end: int
) -> None:
    answer = ranged(node, "/model.bin", text)
    assert (answer.status, answer.complete) == (206, True)
    assert answer.get("content-range") == f"bytes {start}-{end - 1}/{large.size}"
    assert answer.body == large.bytes(start, end)
    assert settled(node)
    assert large.sent_bytes <= 2 * SEGMENT
    asked = len(large.ranges_asked)
    again = ranged(node, "/model.bin", text)
    assert again.body == answer.body
    assert len(large.ranges_asked) == asked, "what was there has been asked for again"


def test_several_ranges_of_an_absent_body_come_in_one_answer(node: Node, large: Large) -> None:
    answer = ranged(node, "/model.bin", "0-9,15000000-15000099,-7")
    assert (answer.status, answer.complete) == (206, True)
    assert multipart(answer.body, answer.get("content-type")) == [
        (f"bytes 0-9/{large.size}", large.bytes(0, 10)),
        (f"bytes 15000000-15000099/{large.size}", large.bytes(15_000_000, 15_000_100)),
        (f"bytes {large.size - 7}-{large.size - 1}/{large.size}", large.bytes(large.size - 7)),
    ]
    assert settled(node)
    assert large.sent_bytes <= 3 * SEGMENT + SLACK


def test_a_range_beyond_the_end_is_not_satisfiable(node: Node, large: Large) -> None:
    for _ in range(2):
        answer = ranged(node, "/model.bin", f"{large.size}-")
        assert answer.status == 416
        assert answer.get("content-range") == f"bytes */{large.size}"
        ranged(node, "/model.bin", "0-9")


def test_the_rest_of_a_body_is_fetched_without_what_is_there(node: Node, large: Large) -> None:
    for text in ("10000000-10000999", "30000000-30000999", "-1000"):
        assert ranged(node, "/model.bin", text).status == 206
    assert settled(node)
    held = large.sent_bytes
    answer = node.get("/model.bin")
    assert (answer.status, answer.body == large.bytes()) == (200, True)
    assert large.sent_bytes <= large.size + SLACK
    assert held >= 400_000, "small ranges were not rounded up"
    assert settled(node)
    large.forget()
    assert node.get("/model.bin").body == large.bytes()
    assert large.ranges_asked == []


def test_conditions_on_a_body_held_in_part(node: Node, large: Large) -> None:
    assert ranged(node, "/model.bin", "0-99").status == 206
    assert settled(node)
    large.forget()
    asked = node.get("/model.bin", method="HEAD")
    assert (asked.status, asked.get("content-length")) == (200, str(large.size))
    assert asked.get("etag") == large.etag
    assert node.get("/model.bin", [("If-None-Match", large.etag)]).status == 304
    assert node.get("/model.bin", [("If-Match", '"other"')]).status == 412
    part = ranged(node, "/model.bin", "10-19", ("If-Range", large.etag))
    assert (part.status, part.body) == (206, large.bytes(10, 20))
    assert ranged(node, "/model.bin", "10-19", ("If-None-Match", large.etag)).status == 304
    assert large.ranges_asked == [], "what is known was asked for again"
    whole = ranged(node, "/model.bin", "10-19", ("If-Range", '"other"'))
    assert (whole.status, whole.body == large.bytes()) == (200, True)


# -- many clients ------------------------------------------------------------------------------


@pytest.mark.slow
def test_fifty_clients_of_a_cold_gibibyte_fetch_no_byte_twice(start_node: StartNode, origin: Origin) -> None:
    large = put_large(origin, "/huge", 1 << 30)
    node = start_node(site(origin))
    wrong: list[str] = []

    def client(number: int) -> None:
        dice = random.Random(number)
        for _ in range(6):
            length = dice.choice([1000, 70_000, MIB, 6 * MIB])
            start = dice.randrange(large.size - length)
            answer = ranged(node, "/huge", f"{start}-{start + length - 1}")
            if answer.status != 206 or answer.body != large.bytes(start, start + length):
                wrong.append(f"{start}+{length}: {answer.status}, {len(answer.body)} bytes, {answer.ended}")

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(client, range(50)))
    assert wrong == []
    assert settled(node)
    assert large.sent_twice <= large.size // 100, f"{large.sent_twice} bytes were fetched twice"
    assert node.resident_bytes() < 300 * MIB


def test_readers_of_a_running_fill_share_it(node: Node, large: Large) -> None:
    large.rate = 60e6
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: hashlib.sha256(node.get("/model.bin").body).hexdigest(), range(20)))
    assert answers == [large.sha256()] * 20
    assert large.sent_bytes <= large.size + SLACK


@pytest.mark.slow
def test_two_hundred_slow_readers_of_a_running_fill_cost_little_memory(
    start_node: StartNode, origin: Origin
) -> None:
    large = put_large(origin, "/slow", 1 << 30, rate=30e6)
    node = start_node(site(origin))
    until = time.monotonic() + 5
    most = 0
    with ThreadPoolExecutor(200) as pool:
        readers = [pool.submit(drip, node.http, "/slow", large, 50e3, until) for _ in range(200)]
        while time.monotonic() < until:
            most = max(most, node.resident_bytes())
            time.sleep(0.1)
        results = [reader.result() for reader in readers]
    assert all(right and received > 8_000 for received, right in results), results
    assert most < 300 * MIB, f"{most >> 20} MiB"
    assert large.sent_twice <= SLACK


# -- clients that begin again ------------------------------------------------------------------


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=["curl", "aria2c"])
def download(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Fetch a URL to a file, going on where a part of it is there already."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"{request.param} is not installed")

    def curl(url: str, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
        return _run(program, "-sS", "--fail", "-C", "-", "-o", str(file), *more, url)

    def aria2c(url: str, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
        options = ["-c", "-x", "8", "-s", "8", "-k", "1M", "--file-allocation=none", "-q"]
        return _run(program, *options, "-d", str(file.parent), "-o", file.name, url)

    return curl if request.param == "curl" else aria2c


def test_a_client_that_gave_up_goes_on_where_it_was(
    node: Node, large: Large, tmp_path: Path, download: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = tmp_path / "model.bin"
    large.rate = 12e6
    download(node.url("/model.bin"), file, "--max-time", "1")
    large.rate = 0.0
    for _ in range(5):  # curl does not go on by itself when a server says 200 for its range
        done = download(node.url("/model.bin"), file)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(file.read_bytes()).hexdigest() == large.sha256()
    assert large.sent_bytes <= large.size + 2 * SLACK


def test_the_node_goes_on_where_it_was_after_a_restart(node: Node, large: Large) -> None:
    large.rate = 20e6
    with RawClient(node.http) as client:
        client.send(request("/model.bin", [("Range", f"bytes=0-{large.size - 1}")]))
        received = 0
        while received < 12 * MIB:
            received += len(client.read_some(MIB))
        client.reset()
    node.restart()
    large.rate = 0.0
    held = large.sent_bytes
    large.forget()
    answer = node.get("/model.bin")
    assert (answer.status, answer.body == large.bytes()) == (200, True)
    assert held >= 10 * MIB
    assert large.sent_bytes <= large.size - 10 * MIB, "what was there has been fetched again"


def test_a_large_answer_is_finished_before_the_node_stops(node: Node, large: Large) -> None:
    large.rate = 25e6
    bodies: list[RawAnswer] = []
    reader = threading.Thread(target=lambda: bodies.append(node.get("/model.bin")))
    reader.start()
    assert eventually(lambda: large.sent_bytes > 4 * MIB)
    node.stop()
    reader.join()
    assert bodies[0].complete
    assert bodies[0].body == large.bytes()
    large.forget()
    node.start()
    assert node.get("/model.bin").body == large.bytes()
    assert large.sent_bytes == 0, "what was complete was not kept"


# -- purging and digests -----------------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_while_a_fill_runs_leaves_nothing_of_the_old_version(
    node: Node, origin: Origin, large: Large, soft: bool
) -> None:
    large.rate = 20e6
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(node.get, "/model.bin")
        assert eventually(lambda: large.sent_bytes > 4 * MIB)
        node.purge("all", soft=soft)
        fresh = put_large(origin, "/model.bin", large.size, seed=2)
        new = node.get("/model.bin")
        before = old.result()
    assert new.complete
    assert new.body == fresh.bytes()
    if before.complete:
        assert before.body == large.bytes()
    assert settled(node)
    assert node.get("/model.bin").body == fresh.bytes()
    assert ranged(node, "/model.bin", "5000000-5000099").body == fresh.bytes(5_000_000, 5_000_100)


def test_a_purge_forgets_what_is_there_in_part(node: Node, origin: Origin, large: Large) -> None:
    assert ranged(node, "/model.bin", "0-99").body == large.bytes(0, 100)
    assert settled(node)
    node.purge("url", origin.url + "/model.bin")
    fresh = put_large(origin, "/model.bin", large.size, seed=2)
    assert ranged(node, "/model.bin", "0-99").body == fresh.bytes(0, 100)
    assert node.get("/model.bin").body == fresh.bytes()


def test_a_digest_is_given_to_who_asks_for_it(node: Node, large: Large) -> None:
    wanted = ("Want-Repr-Digest", "sha-256=10")
    assert node.get("/model.bin", [wanted]).body == large.bytes()
    assert settled(node)
    assert node.get("/model.bin", [wanted], method="HEAD").get("repr-digest") == large.digest_field()
    assert ranged(node, "/model.bin", "0-9", wanted).get("repr-digest") == large.digest_field()
    assert node.get("/model.bin", method="HEAD").get("repr-digest") == ""


def test_a_digest_that_does_not_fit_cuts_clients_off_and_makes_them_begin_again(
    node: Node, large: Large
) -> None:
    right = large.digest_field()
    large.repr_digest = f"sha-256=:{'A' * 43}=:"
    answer = node.get("/model.bin")
    assert not answer.complete, "wrong bytes were shown as a whole body"
    assert len(answer.body) < large.size
    assert settled(node)
    large.repr_digest = right
    again = ranged(node, "/model.bin", f"{len(answer.body)}-")
    assert (again.status, again.complete) == (200, True)
    assert again.body == large.bytes()


def test_a_digest_that_fits_is_passed_on(node: Node, large: Large) -> None:
    large.repr_digest = large.digest_field()
    answer = node.get("/model.bin")
    assert (answer.complete, answer.body == large.bytes()) == (True, True)
    assert answer.get("repr-digest") == large.digest_field()


# -- what the operator is told -----------------------------------------------------------------


def _command(node: Node, *words: str) -> str:
    admin = f"http://{node.admin[0]}:{node.admin[1]}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "--admin", admin],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_status_and_explain_tell_what_is_there_of_a_body(node: Node, large: Large) -> None:
    assert ranged(node, "/model.bin", "0-99").status == 206
    assert settled(node)
    assert eventually(lambda: node.status()["store"]["disk_partials"] == 1)
    assert 100 <= node.status()["store"]["disk_bytes"] <= 2 * SEGMENT
    told = json.loads(_command(node, "explain", "--json", node.url("/model.bin")))
    (part,) = told["in_part"]
    assert part["body_bytes"] == large.size
    assert 100 <= part["held_bytes"] <= 2 * SEGMENT
    assert part["is_fresh"]
