"""Run by the crash test: writes known bodies until it is killed at a point, or ends by itself."""

import asyncio
import sys

from storage_stand import opened, response, until

from edgeproxy.storage import disk_room
from edgeproxy.storage.store import Purge, PurgeScope

PIECE = 4 << 20


def body_of(number: int) -> bytes:
    return (b"body %06d " % number) * (2000 if number % 3 else 30)


def parts_of(number: int) -> bytes:
    return b"part %06d " % number * 700


async def in_parts(stand, number: int) -> None:
    """Every second one is completed, the others are left half there or dropped."""
    data, store = parts_of(number), stand.store
    stored = response(f"p{number}", body_bytes=len(data))
    body = await store.create_partial(stored, sequence=store.sequence)
    await body.write(4000, [data[4000:6000]])
    await body.sync()
    await body.write(0, [data[:4000]])
    if number % 12 == 0:
        await body.write(6000, [data[6000:]])
        await body.commit(stored, "")
    elif number % 18 == 0:
        await body.discard()
    body.close()


def piece_of(number: int) -> bytes:
    return b"piece %05d " % number * (PIECE // 12) + bytes(PIECE % 12)


def is_closed(disk, body: str) -> bool:
    with disk.claims.briefly(body) as is_free, disk.kept_closed(body) as found:
        return is_free and found


async def in_pieces(directory: str) -> None:
    """A body of three pieces loses one, then is removed from by who needs more."""
    disk_room.LARGE_BYTES = PIECE
    async with opened(directory, disk=64 << 20) as stand:
        store = stand.store
        body = await store.create_partial(response("large", body_bytes=3 * PIECE), sequence=store.sequence)
        for number in range(3):
            await body.write(number * PIECE, [piece_of(number)])
        kept = await body.commit(body.stored, "ab" * 32)
        body.close()
        await until(lambda: is_closed(store.disk, kept.body))
        for _ in range(4):
            await asyncio.to_thread(store.disk.evict, store.disk.used - 3 * PIECE)
            await asyncio.to_thread(store.disk.evict, PIECE)


async def main(directory: str) -> None:
    async with opened(directory, disk=400_000) as stand:
        for number in range(60):
            await stand.put(f"k{number % 40}", body_of(number), tags=(f"t{number % 5}",))
            if number % 6 == 0:
                await in_parts(stand, number)
            if number % 10 == 9:
                await stand.on_disk()
                await stand.store.purge(Purge(PurgeScope.TAG, f"t{number % 4}"))
                print(f"purged t{number % 4} {number}", flush=True)
    await in_pieces(directory)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
