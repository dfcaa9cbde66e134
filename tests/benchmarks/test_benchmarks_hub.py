"""The stand-in hub of the benchmarks: what it answers, and what its own clients make of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator

import pytest

from benchmarks import bodies
from benchmarks.hub import Answers, Serving
from benchmarks.hub_client import Taken, take_on_time, wanted
from benchmarks.hub_models import Models
from benchmarks.hub_trouble import Draws, Rates, failure
from benchmarks.replies import Request

MODELS = Models(2, 2, 300_000)
MODEL = "acme/model-0"
COMMIT = MODELS.commit(MODEL)
SHARD = "model-00001-of-00002.safetensors"


def _get(target: str, method: str = "GET", body: bytes = b"") -> Request:
    return Request(method, target, {}, {}, body)


@pytest.fixture
def answers() -> Answers:
    found = Answers(MODELS)
    found.cdn = "http://127.0.0.2:1"
    return found


def test_a_small_file_is_named_by_the_digest_that_git_gives_it() -> None:
    file = MODELS.files(MODEL)["config.json"]
    data = bytes(bodies.piece(file.body, 0, file.size))
    assert file.etag == hashlib.sha1(b"blob 700\0" + data).hexdigest()


def test_a_shard_is_named_by_its_sha256_and_git_holds_a_pointer_to_it() -> None:
    file = MODELS.files(MODEL)[SHARD]
    assert file.etag == hashlib.sha256(bodies.piece(file.body, 0, file.size)).hexdigest()
    assert file.oid == hashlib.sha1(b"blob %d\0" % len(file.pointer) + file.pointer).hexdigest()
    assert MODELS.tree(MODEL)[-2]["lfs"] == {"oid": file.etag, "size": 300_000, "pointerSize": 131}


def test_files_of_two_models_have_other_bytes() -> None:
    first, second = (MODELS.files(name)[SHARD] for name in MODELS.names)
    assert first.sha256 != second.sha256


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        (f"/{MODEL}/resolve/main/config.json", 307, f"/api/resolve-cache/models/{MODEL}/{COMMIT}/"),
        (f"/{MODEL}/resolve/{COMMIT}/{SHARD}", 302, "http://127.0.0.2:1/bridge/"),
        (f"/api/resolve-cache/models/{MODEL}/{COMMIT}/config.json", 200, ""),
        (f"/{MODEL}/resolve/main/absent", 404, ""),
        (f"/{MODEL}/resolve/v9/config.json", 404, ""),
        ("/acme/absent/resolve/main/config.json", 404, ""),
        (f"/api/models/{MODEL}", 200, ""),
        (f"/api/models/{MODEL}/revision/main", 200, ""),
        (f"/api/models/{MODEL}/tree/{COMMIT}", 200, ""),
        (f"/api/models/{MODEL}/revision/v9", 404, ""),
        ("/api/models/acme/absent", 404, ""),
        ("/", 404, ""),
    ],
)
def test_each_question_has_its_answer(answers: Answers, target: str, status: int, location: str) -> None:
    reply = answers.hub(_get(target))
    assert reply.status == status
    assert reply.fields.get("Location", "").startswith(location)


def test_what_belongs_to_a_commit_says_which_also_where_there_is_nothing(answers: Answers) -> None:
    for path in ("config.json", SHARD, "absent"):
        reply = answers.hub(_get(f"/{MODEL}/resolve/main/{path}"))
        assert reply.fields["X-Repo-Commit"] == COMMIT, path


def test_paths_are_described_in_both_forms_of_the_question(answers: Answers) -> None:
    target = f"/api/models/{MODEL}/paths-info/main"
    form = answers.hub(_get(target, "POST", f"paths=config.json&paths={SHARD}&paths=absent".encode()))
    document = Request(
        "POST", target, {}, {"content-type": "application/json"}, b'{"paths": ["config.json"]}'
    )
    told = [json.loads(bytes(one.read(0, one.size))) for one in (form, answers.hub(document))]
    assert [[entry["path"] for entry in one] for one in told] == [["config.json", SHARD], ["config.json"]]


def test_the_delivery_network_gives_only_what_somebody_was_sent_to(answers: Answers) -> None:
    path = f"/bridge/x/{MODELS.files(MODEL)[SHARD].cdn_name}"
    assert answers.content(_get(path)).status == 403
    answers.hub(_get(f"/{MODEL}/resolve/main/{SHARD}"))
    assert answers.content(_get(path)).size == 300_000


# -- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dice", "kind"),
    [(0.0, "status"), (0.09, "status"), (0.11, "reset"), (0.35, "cut"), (0.6, "silent"), (0.7, "")],
)
def test_a_throw_means_one_of_the_failures_by_their_shares(dice: float, kind: str) -> None:
    assert failure(Rates(status=0.1, reset=0.2, cut=0.25, silent=0.1), dice) == kind


def test_the_luck_of_one_who_asks_does_not_depend_on_others() -> None:
    rates = Rates(status=0.5, seed=7)
    alone, beside = Draws(rates), Draws(rates)
    mine = [alone.draw("me", "/a") for _ in range(50)]
    for number in range(50):
        beside.draw("others", "/a")
        assert beside.draw("me", "/a") == mine[number]
    assert alone.failed["me"] == mine.count("status")
    assert 10 < alone.failed["me"] < 40


# -- over sockets ------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(rates: Rates) -> AsyncIterator[tuple[Serving, str]]:
    found = Serving(MODELS, rates)
    hub = await asyncio.start_server(found.hub, "127.0.0.1", 0)
    cdn = await asyncio.start_server(found.cdn, "127.0.0.1", 0)
    found.answers.cdn = f"http://127.0.0.1:{cdn.sockets[0].getsockname()[1]}"
    async with hub, cdn:
        yield found, f"http://127.0.0.1:{hub.sockets[0].getsockname()[1]}"


async def _take(rates: Rates, *kinds: str) -> list[Taken]:
    async with serving(rates) as (_, url):
        wants = [(0.0, wanted(MODELS, MODEL, kind)) for kind in kinds]
        return await take_on_time(url, wants, agent="test", timeout_seconds=5.0)


async def test_clients_follow_redirects_and_check_what_comes() -> None:
    taken = await _take(Rates(), "info", "config.json", "tokenizer.json", "weights")
    assert [(one.kind, one.problem) for one in taken] == [
        ("info", ""),
        ("config.json", ""),
        ("tokenizer.json", ""),
        ("weights", ""),
    ]
    assert all(0 < one.first_byte_seconds <= one.seconds for one in taken)


@pytest.mark.parametrize(
    ("rates", "problem"),
    [
        (Rates(status=1.0), "status 503"),
        (Rates(reset=1.0), "Incomplete"),
        (Rates(cut=1.0), "Incomplete"),
    ],
)
async def test_a_client_fails_where_the_hub_does_and_does_not_ask_again(rates: Rates, problem: str) -> None:
    async with serving(rates) as (found, url):
        wants = [(0.0, wanted(MODELS, MODEL, "info"))]
        (taken,) = await take_on_time(url, wants, agent="test", timeout_seconds=5.0)
        assert problem in taken.problem
        assert found.counts.requests == 1


async def test_silence_ends_with_the_patience_of_the_client() -> None:
    async with serving(Rates(silent=1.0)) as (_, url):
        wants = [(0.0, wanted(MODELS, MODEL, "info"))]
        (taken,) = await take_on_time(url, wants, agent="test", timeout_seconds=0.05)
    assert "within 0.05 s" in taken.problem


async def test_wrong_bytes_are_seen() -> None:
    other = Models(2, 2, 300_001)
    async with serving(Rates()) as (_, url):
        wants = [(0.0, wanted(other, MODEL, kind)) for kind in ("info", "weights")]
        taken = await take_on_time(url, wants, agent="test", timeout_seconds=5.0)
    assert [one.problem.partition(":")[2] for one in taken] == [
        " wrong bytes: another commit",
        " wrong bytes",
    ]
