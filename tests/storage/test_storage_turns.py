"""Work under one key is done one after the other."""

from __future__ import annotations

import asyncio

import pytest

from edgeproxy.storage.turns import Turns


async def test_one_key_one_after_the_other_and_different_keys_side_by_side() -> None:
    turns, told, gates = Turns(), [], {name: asyncio.Event() for name in ("a1", "a2", "b1")}

    async def work(name: str) -> None:
        async with turns.turn(name[0]):
            told.append(f"{name} begins")
            await gates[name].wait()
            told.append(f"{name} ends")

    tasks = [asyncio.ensure_future(work(name)) for name in ("a1", "a2", "b1")]
    await asyncio.sleep(0)
    assert told == ["a1 begins", "b1 begins"]
    gates["a2"].set()
    gates["a1"].set()
    await asyncio.gather(*tasks[:2])
    assert told == ["a1 begins", "b1 begins", "a1 ends", "a2 begins", "a2 ends"]
    assert len(turns) == 1
    gates["b1"].set()
    await tasks[2]
    assert len(turns) == 0


async def test_who_gives_up_or_fails_holds_nobody_up() -> None:
    turns = Turns()

    async def fail() -> None:
        async with turns.turn("a"):
            await asyncio.sleep(0)
            raise ValueError("no")

    async def wait() -> None:
        async with turns.turn("a"):
            pass

    failing, waiting, late = (asyncio.ensure_future(one()) for one in (fail, wait, wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(ValueError, match="no"):
        await failing
    await late
    assert len(turns) == 0
