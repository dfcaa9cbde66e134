"""Run by the crash test: writes known bodies until it is killed at a point, or ends by itself."""

import asyncio
import sys

from storage_stand import opened, response

from edgeproxy.storage.store import Purge, PurgeScope


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


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
