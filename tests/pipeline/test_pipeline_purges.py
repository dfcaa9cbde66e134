from __future__ import annotations

import asyncio

from pipeline_house import House

from edgeproxy.pipeline import purges as module
from edgeproxy.pipeline.purges import FILE, Purges
from edgeproxy.policy.surrogates import Position
from edgeproxy.storage.purge_feed import FedPurge
from edgeproxy.storage.store import Purge, PurgeScope


class Files:
    """A directory that is a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.is_full = False

    def read(self, name: str, limit: int) -> bytes:
        return self.kept.get(name, b"")[:limit]

    def replace(self, name: str, data: bytes) -> None:
        if self.is_full:
            raise OSError(28, "no space")
        self.kept[name] = data


def tag(value: str) -> Purge:
    return Purge(PurgeScope.TAG, value)


async def test_each_purge_gets_the_number_it_has_in_the_store(house: House) -> None:
    start = house.purges.position
    await asyncio.gather(*(house.purges.purge(tag(str(n))) for n in range(5)))
    page = house.purges.after(start)
    assert [fed.number for fed in page.purges] == [1, 2, 3, 4, 5]
    assert house.store.sequence == page.number == 5


async def test_a_site_is_told_by_its_upstreams(house: House) -> None:
    start = house.purges.position
    await house.purges.purge(Purge(PurgeScope.SITE, "one"))
    assert [fed.purge for fed in house.purges.after(start).purges] == [
        Purge(PurgeScope.PREFIX, "http://origin.test/")
    ]


async def test_a_purge_of_another_node_is_made_once_and_told_under_its_id(house: House) -> None:
    start = house.purges.position
    fed = FedPurge(number=99, id="far-1", scope=PurgeScope.TAG, value="t")
    await house.purges.take_over(fed)
    await house.purges.take_over(fed)
    assert house.store.sequence == 1
    assert [(one.id, one.number) for one in house.purges.after(start).purges] == [("far-1", 1)]


async def test_the_next_process_goes_on_with_the_log(house: House) -> None:
    files = Files()
    await house.purges.open(files)
    start = house.purges.position
    await house.purges.purge(tag("a"))
    await house.purges.aclose()
    again = Purges(house.store, origins=lambda _: (), tasks=house.tasks)
    await again.open(files)
    assert [fed.value for fed in again.after(start).purges] == ["a"]


async def test_a_purge_that_was_not_written_down_is_a_gap_after_a_restart(house: House) -> None:
    files = Files()
    await house.purges.open(files)
    await house.purges.aclose()
    start = house.purges.position
    files.is_full = True
    await house.purges.purge(tag("a"))
    await house.purges.aclose()
    again = Purges(house.store, origins=lambda _: (), tasks=house.tasks)
    await again.open(files)
    assert not again.after(start).complete


async def test_purges_in_a_row_are_written_down_together(house: House, monkeypatch: object) -> None:
    files, written = Files(), []
    replace = files.replace
    files.replace = lambda name, data: (written.append(name), replace(name, data))  # type: ignore[method-assign,assignment,func-returns-value]
    await house.purges.open(files)
    for number in range(20):
        await house.purges.purge(tag(str(number)))
    await asyncio.sleep(3 * module.REST_SECONDS)
    assert 1 <= len(written) <= 3
    assert set(written) == {FILE}
    assert house.purges.position == Position(house.purges.feed.epoch, 20)
