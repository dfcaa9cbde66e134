"""The digest follows the bytes from the start, whatever the order in which they come."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from pipeline_house import DictPartial, DictStore

from edgeproxy.errors import StorageError
from edgeproxy.pipeline.growing_digest import GrowingDigest
from edgeproxy.policy.stored import StoredResponse

BODY = bytes(range(256)) * 40


def stored() -> StoredResponse:
    return StoredResponse(
        key="k",
        site="s",
        status=200,
        fields=(),
        born=0,
        request_time=0,
        response_time=0,
        fresh_until=0,
        body_bytes=len(BODY),
    )


def partial() -> DictPartial:
    return DictPartial(DictStore(), stored(), 0)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2)])
async def test_any_order_gives_the_same_digests(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeproxy.pipeline.growing_digest.HASH_BYTES", 1000)
    body, quarter = partial(), len(BODY) // 4
    with ThreadPoolExecutor(1) as threads:
        digest = GrowingDigest(body, threads, with_git=True)
        running = asyncio.ensure_future(digest.run())
        for number in order:
            start = number * quarter
            await body.write(start, [BODY[start : start + quarter]])
            digest.grew(start)
        sha256, git = await running
    assert sha256 == hashlib.sha256(BODY).hexdigest()
    assert git == hashlib.sha1(b"blob %d\0" % len(BODY) + BODY, usedforsecurity=False).hexdigest()


async def test_bytes_found_damaged_are_hashed_when_they_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeproxy.pipeline.growing_digest.AGAIN_SECONDS", 0)
    body = partial()
    await body.write(0, [BODY])
    body.bad.add(5)
    with ThreadPoolExecutor(1) as threads:
        digest = GrowingDigest(body, threads, with_git=False)
        running = asyncio.ensure_future(digest.run())
        while body.bad:  # noqa: ASYNC110 - the stand-in has no event to wait for
            await asyncio.sleep(0)
        await body.write(5, [BODY[5:6]])
        digest.grew(5)
        assert await running == (hashlib.sha256(BODY).hexdigest(), "")


async def test_what_was_hashed_before_a_read_failed_is_not_hashed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgeproxy.pipeline.growing_digest.AGAIN_SECONDS", 0)
    monkeypatch.setattr("edgeproxy.pipeline.growing_digest.READ_BYTES", 100)
    failures = [300, 300, 4000]

    class Failing(DictPartial):
        def read(self, start: int, end: int) -> bytes:
            if start in failures:
                failures.remove(start)
                raise StorageError("the disk is in a bad mood")
            return super().read(start, end)

    body = Failing(DictStore(), stored(), 0)
    await body.write(0, [BODY])
    with ThreadPoolExecutor(1) as threads:
        sha256, _ = await GrowingDigest(body, threads, with_git=False).run()
    assert sha256 == hashlib.sha256(BODY).hexdigest()
    assert failures == []
