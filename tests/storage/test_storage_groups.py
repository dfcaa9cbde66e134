"""The members of a group leave together, and the group used longest ago leaves first."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_stand import opened, response

from edgeproxy.storage import disk_room
from edgeproxy.storage.disk_room import _sorted_out
from edgeproxy.storage.groups import PutOff

SIZE = 100_000
ONE = 25 * 4096  # what such a body takes on disk, more or less
FILES = range(5)


async def put_snapshot(stand, name, files=FILES):
    for number in files:
        assert await stand.put(f"{name}/{number}", bytes([number]) * SIZE, group=name)


async def held(stand, name, files=FILES):
    """Which files of a snapshot are on disk, whatever is in RAM."""
    rows = await asyncio.to_thread(stand.store.disk.index.read, "select address from responses")
    return [number for number in files if (f"{name}/{number}",) in rows]


async def use(stand, key):
    assert await stand.get(key)
    await asyncio.to_thread(stand.store._upkeep.tell_touches)


async def groups_known(stand):
    return (await asyncio.to_thread(stand.store.disk.index.read, "select count(*) from groups"))[0][0]


async def test_one_file_used_keeps_its_snapshot_while_the_other_goes_entirely(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await put_snapshot(stand, "old")
        await put_snapshot(stand, "new")
        await use(stand, "old/3")
        for left in range(4, -1, -1):
            await asyncio.to_thread(stand.store.disk.evict, 1)
            assert len(await held(stand, "new")) == left
            assert await held(stand, "old") == list(FILES)
        await asyncio.to_thread(stand.store.disk.evict, 1)
        assert len(await held(stand, "old")) == 4
        await asyncio.to_thread(stand.store.disk.evict, 1 << 30)
        assert await groups_known(stand) == 0


async def test_a_group_leaves_only_as_far_as_is_needed_and_in_one_search(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await put_snapshot(stand, "old")
        await put_snapshot(stand, "new")
        await use(stand, "old/0")
        await asyncio.to_thread(stand.store.disk.evict, 3 * ONE)
        assert len(await held(stand, "new")) == 2
        await asyncio.to_thread(stand.store.disk.evict, 3 * ONE)
        assert (len(await held(stand, "new")), len(await held(stand, "old"))) == (0, 4)


async def test_a_body_in_part_counts_for_its_group_as_a_whole_one_does(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await put_snapshot(stand, "old", range(2))
        part = await stand.store.create_partial(
            response("new/part", body_bytes=2 * SIZE, group="new"), sequence=0
        )
        await part.write(0, [b"p" * SIZE])
        part.close()
        await stand.store.lookup_partial("new/part")  # it has been written down
        await put_snapshot(stand, "old", range(2, 4))
        await asyncio.to_thread(stand.store.disk.evict, 1)
        assert await stand.store.lookup_partial("new/part") == ()
        assert await held(stand, "old") == [0, 1, 2, 3]

        await put_snapshot(stand, "third", range(2))
        part = await stand.store.create_partial(
            response("old/part", body_bytes=2 * SIZE, group="old"), sequence=0
        )
        await part.write(0, [b"p" * SIZE])
        await part.sync()  # a fill that goes on keeps what is there of its snapshot
        await asyncio.to_thread(stand.store.disk.evict, 2 * ONE)
        assert (len(await held(stand, "old")), await held(stand, "third")) == (4, [])
        part.close()


async def test_a_body_two_groups_share_stays_with_the_one_used_last(tmp_path):
    data = b"same" * (SIZE // 4)
    digest = "ab" * 32
    async with opened(tmp_path / "c") as stand:
        store = stand.store
        writer = store.writer("old/0", sequence=0, expected_bytes=None, memory_only=False)
        await writer.write([data])
        assert await writer.commit(response("old/0", group="old"), digest)
        writer.close()
        assert await store.link(response("new/0", group="new", digest=digest))
        await put_snapshot(stand, "old", range(1, 3))
        await put_snapshot(stand, "new", range(1, 3))
        await use(stand, "old/1")
        await asyncio.to_thread(store.disk.evict, 2 * ONE)
        assert (await held(stand, "new"), await held(stand, "old")) == ([0], [0, 1, 2])
        await use(stand, "new/0")
        await asyncio.to_thread(store.disk.evict, 2 * ONE)
        assert (await held(stand, "new"), await held(stand, "old")) == ([0], [0])


async def test_uses_of_groups_outlive_a_restart_and_a_lost_member(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await put_snapshot(stand, "old")
        await put_snapshot(stand, "new")
        await use(stand, "old/3")
        (used,) = await stand.store.lookup("old/3")
        await stand.store.remove(used)
    async with opened(tmp_path / "c") as stand:
        await asyncio.to_thread(stand.store.disk.evict, 5 * ONE)
        assert (await held(stand, "new"), await held(stand, "old")) == ([], [0, 1, 2, 4])
        for number in (0, 1, 2, 4):
            (stored,) = await stand.store.lookup(f"old/{number}")
            await stand.store.remove(stored)
        assert await groups_known(stand) == 0


async def test_putting_off_is_bounded_and_room_is_found_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_room, "PUT_OFF_MAX", 3)
    async with opened(tmp_path / "c") as stand:
        await put_snapshot(stand, "old")
        await put_snapshot(stand, "new")
        await use(stand, "old/3")
        freed = await asyncio.to_thread(stand.store.disk.evict, 10 * ONE)
        assert freed >= 10 * ONE


async def test_a_use_of_a_large_group_changes_one_row_of_it(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await put_snapshot(stand, "s", range(30))
        read = stand.store.disk.index.read
        before = await asyncio.to_thread(read, "select id, last_used from bodies order by id")
        await use(stand, "s/7")
        after = await asyncio.to_thread(read, "select id, last_used from bodies order by id")
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


TIMES = st.integers(0, 9).map(float)


@settings(max_examples=200, deadline=None)
@given(members=st.lists(st.tuples(TIMES, st.none() | TIMES), max_size=20), batch=st.integers(1, 7))
def test_going_by_put_off_times_gives_the_order_of_the_later_use(members, batch):
    """What DiskRoom does with rows, here on a list: the order is that of max(own use, group's use)."""
    own = {f"{number:02}": used for number, (used, _) in enumerate(members)}
    groups = {f"{number:02}": used for number, (_, used) in enumerate(members)}
    place, order = (float("-inf"), ""), []
    for _ in itertools.count():
        rows = sorted((own[body], body) for body in own if (own[body], body) > place)[:batch]
        if not rows:
            break
        full = [(used, body, 1, 0, groups[body]) for used, body in rows]
        candidates, later, place = _sorted_out(full, 100)
        order += [row[1] for row in candidates]
        for member in later:
            assert isinstance(member, PutOff)
            own[member.body] = max(own[member.body], member.used)
    later_use = {body: max(own[body], groups[body] or 0.0) for body in own}
    assert sorted(order) == sorted(own)
    assert order == sorted(own, key=lambda body: (later_use[body], body))


@pytest.mark.parametrize("group", ["", "g"])
async def test_who_belongs_to_no_group_leaves_as_ever(tmp_path, group):
    async with opened(tmp_path / "c") as stand:
        await stand.put("first", b"1" * SIZE)
        await stand.put("second", b"2" * SIZE, group=group)
        await asyncio.to_thread(stand.store.disk.evict, 1)
        await stand.forget_memory()
        assert (await stand.get("first"), await stand.get("second")) == (None, b"2" * SIZE)
