"""Content that is passed on and must be what is known of it."""

from __future__ import annotations

import hashlib

import pytest
from pipeline_house import Scripted

from edgeproxy.errors import BodyAborted
from edgeproxy.pipeline.content import PassingContent
from edgeproxy.pipeline.proven_content import HOLD_BYTES, ProvenContent
from edgeproxy.pipeline.receiving import Digests

BODY = bytes(range(256)) * 1024
PIECES = tuple(BODY[at : at + 20_000] for at in range(0, len(BODY), 20_000))


def proven(digest: str, said: list[str], pieces: tuple[bytes, ...] = PIECES) -> ProvenContent:
    content = PassingContent(Scripted(pieces=pieces), lambda _: None)
    return ProvenContent(content, Digests(digest, "", len(BODY)), said.append)


async def test_what_fits_comes_whole() -> None:
    said: list[str] = []
    content = proven(hashlib.sha256(BODY).hexdigest(), said)
    assert content.length == len(BODY)
    assert b"".join([part async for part in content.parts()]) == BODY  # type: ignore[misc]
    await content.aclose()
    assert said == []


@pytest.mark.parametrize("pieces", [PIECES, (BODY,), (b"",)], ids=["many", "one", "none"])
async def test_the_end_of_what_does_not_fit_is_never_shown(pieces: tuple[bytes, ...]) -> None:
    said: list[str] = []
    content = proven("0" * 64, said, pieces)
    taken = bytearray()

    async def take() -> None:
        async for part in content.parts():
            assert isinstance(part, bytes)
            taken.extend(part)

    with pytest.raises(BodyAborted, match="SHA-256"):
        await take()
    assert len(taken) <= max(0, len(BODY) - HOLD_BYTES)
    assert len(said) == 1
