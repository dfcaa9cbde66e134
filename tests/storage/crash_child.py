"""Run by the crash test: writes known bodies until it is killed at a point, or ends by itself."""

import asyncio
import sys

from storage_stand import opened

from edgeproxy.storage.store import Purge, PurgeScope


def body_of(number: int) -> bytes:
    return (b"body %06d " % number) * (2000 if number % 3 else 30)


async def main(directory: str) -> None:
    async with opened(directory, disk=400_000) as stand:
        for number in range(60):
            await stand.put(f"k{number % 40}", body_of(number), tags=(f"t{number % 5}",))
            if number % 10 == 9:
                await stand.on_disk()
                await stand.store.purge(Purge(PurgeScope.TAG, f"t{number % 4}"))
                print(f"purged t{number % 4} {number}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
