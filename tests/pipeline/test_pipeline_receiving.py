"""Bodies as they are taken in: judged by what is known of them, kept, and only then shown as complete."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_house import DictWriter, House, Scripted, content

from edgeproxy.errors import BodyAborted
from edgeproxy.pipeline import receiving
from edgeproxy.pipeline.receiving import Digests
from edgeproxy.sites.site import Expected

DATA = b"hello world"
SHA256 = hashlib.sha256(DATA).hexdigest()
GIT = hashlib.sha1(b"blob 11\0" + DATA, usedforsecurity=False).hexdigest()
OTHER = "0" * 64


# -- digests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sha256", "git", "size", "is_known", "complaint"),
    [
        ("", "", None, False, ""),
        ("", "", 11, False, ""),
        (SHA256, "", None, True, ""),
        ("", GIT, 11, True, ""),
        (SHA256, GIT, 11, True, ""),
        (OTHER, "", 11, True, f"SHA-256 {SHA256} where {OTHER}"),
        ("", "0" * 40, 11, True, f"git SHA-1 {GIT} where {'0' * 40}"),
        (SHA256, "0" * 40, 11, True, "git SHA-1"),
        (OTHER, GIT, 11, True, "SHA-256"),
        ("", GIT, 12, True, "git SHA-1"),
    ],
)
def test_a_body_is_compared_with_all_that_is_known_of_it(
    sha256: str, git: str, size: int | None, is_known: bool, complaint: str
) -> None:
    digests = Digests(sha256, git, size)
    digests.update(DATA[:4])
    digests.update(memoryview(DATA)[4:])
    assert digests.is_known is is_known
    assert digests.sha256 == SHA256
    assert complaint in digests.mismatch()
    assert bool(digests.mismatch()) is bool(complaint)


def test_the_digest_of_an_empty_git_blob_is_that_of_git() -> None:
    assert Digests("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", 0).mismatch() == ""


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=50), max_size=8))
def test_how_a_body_is_cut_makes_no_difference(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    git = hashlib.sha1(b"blob %d\0" % len(whole) + whole, usedforsecurity=False).hexdigest()
    digests = Digests(hashlib.sha256(whole).hexdigest(), git, len(whole))
    for chunk in chunks:
        digests.update(chunk)
    assert digests.mismatch() == ""


# -- taking in -------------------------------------------------------------------------------------


def expecting(house: House, expected: Expected) -> None:
    house.site.shape = lambda plan: replace(plan, expected=expected)


@pytest.mark.parametrize("expected", [Expected(SHA256), Expected(git_sha1=GIT, size=11)])
async def test_a_body_that_is_right_is_kept(house: House, expected: Expected) -> None:
    expecting(house, expected)
    house.upstream.answers("/a", Scripted(pieces=(DATA[:3], DATA[3:])))
    assert (await house.get("/a"))[:2] == (200, DATA)
    assert await house.get("/a") == (200, DATA, "hit")
    (kept,) = house.store.kept["http://origin.test/a"]
    assert kept.digest == SHA256


@pytest.mark.parametrize("expected", [Expected(OTHER), Expected(git_sha1="0" * 40, size=11)])
async def test_a_wrong_body_is_completed_to_nobody_kept_nowhere_and_told(
    house: House, expected: Expected
) -> None:
    expecting(house, expected)
    house.upstream.answers("/a", Scripted(pieces=(DATA,)))
    status, data = 0, b""
    with contextlib.suppress(BodyAborted):
        status, data, _ = await house.get("/a")
    assert (status, data) != (200, DATA)
    await house.fills_end()
    assert not any(house.store.kept.values())
    assert house.metrics.value("digest_mismatch_total", "one") == 1
    assert house.distrust.holds("http://origin.test/a")
    (told,) = house.reports
    assert "completed to nobody" in told
    ((digest, data, why),) = house.store.aside
    assert (digest, data) == (expected.sha256, DATA)
    assert why in told


async def test_large_pieces_are_hashed_in_a_thread_and_come_to_the_same(house: House) -> None:
    piece = bytes(range(256)) * (receiving.HASH_INLINE_BYTES // 128)
    whole = piece + b"small" + piece
    expecting(house, Expected(hashlib.sha256(whole).hexdigest()))
    house.upstream.answers("/a", Scripted(pieces=(piece, b"small", piece)))
    assert (await house.get("/a"))[:2] == (200, whole)
    await house.fills_end()
    assert house.store.kept["http://origin.test/a"][0].body_bytes == len(whole)


async def test_a_body_shorter_than_announced_is_not_kept(house: House) -> None:
    house.upstream.answers("/a", Scripted(pieces=(DATA,), length=12))
    with pytest.raises(BodyAborted):
        await house.get("/a")
    await house.fills_end()
    assert not any(house.store.kept.values())


async def test_a_body_larger_than_the_rules_allow_reaches_its_client_and_not_the_store(house: House) -> None:
    house.site.rules = replace(house.site.rules, body_bytes_max=5)
    house.upstream.answers("/a", Scripted(pieces=(DATA[:4], DATA[4:]), length=None))
    assert (await house.get("/a"))[:2] == (200, DATA)
    await house.fills_end()
    assert not any(house.store.kept.values())


async def test_a_slow_commit_does_not_hold_up_the_reader(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "COMMIT_WAIT_SECONDS", 0.001)
    committing, commit = asyncio.Event(), DictWriter.commit

    async def slowly(writer: DictWriter, stored: Any, digest: str) -> Any:
        await committing.wait()
        return await commit(writer, stored, digest)

    monkeypatch.setattr(DictWriter, "commit", slowly)
    house.upstream.answers("/a", Scripted())
    response = await house.ask("/a")
    assert await content(response) == DATA
    assert not any(house.store.kept.values())
    committing.set()
    await house.fills_end()
    assert any(house.store.kept.values())


async def test_a_store_that_cannot_keep_a_body_costs_the_client_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(writer: DictWriter, stored: Any, digest: str) -> Any:
        return None

    monkeypatch.setattr(DictWriter, "commit", failing)
    house.upstream.answers("/a", Scripted())
    assert (await house.get("/a"))[:2] == (200, DATA)
    await house.fills_end()
    assert not any(house.store.kept.values())
    assert house.metrics.value("fills_total", "one", "superseded") == 1
