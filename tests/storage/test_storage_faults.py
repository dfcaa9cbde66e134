"""Whatever happens to the directory: right bytes or a miss, never wrong bytes, never an exception."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crash_child import PIECE, body_of, parts_of, piece_of
from storage_stand import body_files, opened, part_bytes, until

from edgeproxy.errors import StartError, StorageError
from edgeproxy.storage.crash import POINTS

HERE = Path(__file__).parent


def run_child(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
    return subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("passes", [1, 7])
@pytest.mark.parametrize("point", sorted(POINTS))
async def test_after_a_death_at_any_point_only_right_bodies_are_found(tmp_path, point, passes):
    directory = tmp_path / "c"
    child = run_child("crash_child.py", str(directory), EDGEPROXY_CRASH=f"{point}:{passes}")
    assert child.returncode == 137 or (passes > 1 and child.returncode == 0), child.stderr
    purged = [line.split() for line in child.stdout.splitlines()]
    disk = 64 << 20 if point in ("shrinking", "shrunk") else 400_000
    began = time.process_time()
    async with opened(directory, disk=disk) as stand:
        assert time.process_time() - began < 1
        for number in range(40):
            data = await stand.get(f"k{number}")
            right = [n for n in (number, number + 40) if n < 60 and body_of(n) == data]
            assert data is None or right
            for _, tag, when in purged:
                assert not any(n <= int(when) and f"t{n % 5}" == tag for n in right)
        for number in range(0, 60, 6):
            await _parts_are_right(stand, number)
        await _pieces_are_right(stand)
        await until(lambda: not stand.store.disk.index.is_partial and not list((directory / "tmp").iterdir()))
        await stand.put("after", b"works")
        assert await stand.get("after") == b"works"
    async with opened(directory, disk=disk) as stand:
        await until(lambda: stand.store.disk.used == _taken(directory))


def _taken(directory: Path) -> int:
    paths = [*body_files(directory), *(directory / "partial").iterdir()]
    return sum(path.stat().st_blocks * 512 for path in paths)


async def _parts_are_right(stand, number: int) -> None:
    data = parts_of(number)
    assert await stand.get(f"p{number}") in (None, data)
    for stored in await stand.store.lookup_partial(f"p{number}"):
        body = await stand.store.open_partial(stored)
        for start, end in () if body is None else list(body.spans):
            await body.check(start, end)
            assert part_bytes(body.slice(start, end)) == data[start:end]
        if body is not None:
            body.close()


async def _pieces_are_right(stand):
    for stored in await stand.store.lookup_partial("large"):
        body = await stand.store.open_partial(stored)
        for number in range(3) if body is not None else ():
            start, end = number * PIECE, (number + 1) * PIECE
            if body.spans.holds(start, end):
                await body.check(start, end)
                assert part_bytes(body.slice(start, end)) == piece_of(number)
        if body is not None:
            body.close()


async def test_a_flipped_bit_anywhere_gives_right_bytes_or_a_miss(tmp_path):
    bodies = {f"https://o.example/{n}": random.Random(n).randbytes(300 + 9000 * (n % 4)) for n in range(24)}
    original = tmp_path / "original"
    async with opened(original) as stand:
        for key, data in bodies.items():
            assert await stand.put(key, data)
    chance = random.Random(2026)
    hits = misses = 0
    for turn in range(40):
        directory = tmp_path / f"turn{turn}"
        shutil.copytree(original, directory)
        files = [path for path in directory.rglob("*") if path.is_file() and path.stat().st_size]
        index = [path for path in files if path.name.startswith("index")]
        for _ in range(5):
            path = chance.choice(index if chance.random() < 0.3 else files)
            data = bytearray(path.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        try:
            async with opened(directory) as stand:
                for key, data in bodies.items():
                    got = await stand.get(key)
                    assert got is None or got == data
                    hits, misses = hits + (got is not None), misses + (got is None)
                assert await stand.put("new", b"new")
        except StartError:
            assert (directory / "VERSION").read_bytes() != b"1\n"  # the version file itself was hit
        shutil.rmtree(directory)
    assert hits > misses


def _each(directory: Path, spoil) -> None:
    for path in body_files(directory):
        spoil(path)


def _into(kind: str):
    def spoil(path: Path) -> None:
        size = path.stat().st_size
        if kind == "short":
            os.truncate(path, size - 1)
        elif kind == "long":
            path.write_bytes(path.read_bytes() + b"x")
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "zeros":
            path.write_bytes(bytes(size))
        elif kind == "symlink":
            path.unlink()
            path.symlink_to("/etc/passwd")
        elif kind == "fifo":
            path.unlink()
            os.mkfifo(path)
        elif kind == "directory":
            path.unlink()
            path.mkdir()
        elif kind == "gone":
            path.unlink()

    return spoil


@pytest.mark.parametrize("lost_index", [False, True])
@pytest.mark.parametrize("kind", ["short", "long", "empty", "zeros", "symlink", "fifo", "directory", "gone"])
async def test_a_spoiled_body_file_is_a_miss_and_can_be_stored_again(tmp_path, kind, lost_index):
    directory = tmp_path / "c"
    async with opened(directory) as stand:
        await stand.put("small", b"s" * 1000)
        await stand.put("large", b"l" * 100_000)
    _each(directory, _into(kind))
    if lost_index:
        (directory / "index.sqlite3").unlink()
    async with opened(directory) as stand:
        for key in ("small", "large"):
            assert await stand.get(key) is None
            assert await stand.put(key, b"again")
            assert await stand.get(key) == b"again"


async def test_two_swapped_bodies_are_never_served_for_each_other(tmp_path):
    directory = tmp_path / "c"
    async with opened(directory) as stand:
        await stand.put("a", b"A" * 1000)
        await stand.put("b", b"B" * 1000)
    first, second = body_files(directory)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    async with opened(directory) as stand:
        assert await stand.get("a") is None
        assert await stand.get("b") is None


async def test_a_body_that_changes_while_open_fails_its_check(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", b"x" * 100_000)
        assert await stand.get("k")
        (path,) = body_files(tmp_path / "c")
        with path.open("r+b") as file:
            file.seek(50_000)
            file.write(b"y")
        assert await stand.store.open(stored) is None
        assert await stand.store.lookup("k") == ()
        assert stand.metrics.value("corrupt_total", "body") == 1


async def test_foreign_files_are_neither_read_nor_removed(tmp_path):
    directory = tmp_path / "c"
    (directory / "bodies" / "ab").mkdir(parents=True)
    foreign = [directory / "note.txt", directory / "bodies" / "ab" / "x", directory / "bodies" / "passwd"]
    for path in foreign:
        path.write_text("mine")
    async with opened(directory) as stand:
        await stand.put("k", b"x")
        await stand.on_disk()
        await stand.store._purging.reclaim()
        assert all(path.read_text() == "mine" for path in foreign)


async def test_a_file_in_place_of_the_directory_is_one_clear_line(tmp_path):
    (tmp_path / "c").write_text("")
    with pytest.raises(StartError, match="cache directory"):
        async with opened(tmp_path / "c"):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
@pytest.mark.parametrize("options", ["size=2m", "size=16m,nr_inodes=60"])
async def test_a_full_file_system_fails_writes_only_and_recovers(tmp_path, options):
    directory = tmp_path / "m"
    directory.mkdir()
    mounted = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this kernel lets nobody mount here")
    try:
        async with opened(directory, errors=1000, memory=400_000) as stand:
            bodies = {f"k{n}": random.Random(n).randbytes(100_000) for n in range(60)}
            failures = 0
            for key, data in bodies.items():
                try:
                    if await stand.put(key, data) is None:
                        failures += 1
                except StorageError:
                    failures += 1
            if "inodes" in options:  # folders go with their last file and give their inodes back
                assert not failures
            for key, data in bodies.items():
                assert await stand.get(key) in (None, data)
            await stand.put("ram", b"still")
            assert await stand.get("ram") == b"still"
            for key in list(bodies)[:10]:
                for stored in await stand.store.lookup(key):
                    await stand.store.remove(stored)
            remount = f"remount,{options.replace('2m', '32m').replace('60', '600')}"
            subprocess.run(["mount", "-o", remount, str(directory)], check=True)  # noqa: ASYNC221
            assert await stand.put("again", b"x" * 100_000)
            assert await stand.get("again") == b"x" * 100_000
            assert stand.store.statistics().disk_state == "ok"
    finally:
        subprocess.run(["umount", str(directory)], check=True)  # noqa: ASYNC221


async def test_too_many_errors_take_the_disk_out_of_use_and_ram_goes_on(tmp_path):
    async with opened(tmp_path / "c", errors=2, retry_disk=0.05) as stand:
        os.rmdir(tmp_path / "c" / "tmp")
        for _ in range(2):
            with pytest.raises(StorageError):
                await stand.put("k", b"x" * 100_000)
        assert stand.store.statistics().disk_state.startswith("off: ")
        assert await stand.put("small", b"x")
        assert await stand.get("small") == b"x"


def test_a_file_size_limit_fails_large_bodies_only(tmp_path):
    child = run_child("limit_child.py", str(tmp_path / "c"))
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == ["large:failed", "small:right", "partial:right"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
async def test_a_file_system_smaller_than_the_limit_is_kept_full_by_eviction(tmp_path):
    directory = tmp_path / "m"
    directory.mkdir()
    mounted = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this kernel lets nobody mount here")
    try:
        async with opened(directory, errors=1, memory=400_000) as stand:
            for number in range(300):
                assert await stand.put(f"k{number}", b"%06d" % number * 20_000)
            assert await stand.get("k299") == b"000299" * 20_000
            assert stand.metrics.value("evictions_total", "disk") > 0
            assert stand.metrics.value("storage_errors_total", "write") == 0
            assert stand.store.disk.used > 10 << 20
    finally:
        subprocess.run(["umount", str(directory)], check=True)  # noqa: ASYNC221
