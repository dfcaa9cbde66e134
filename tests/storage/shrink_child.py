"""Run by the crash test: a large body loses pieces until the process is killed at a point."""

import asyncio
import sys

from storage_stand import opened, response, until

from edgeproxy.storage import disk_room

PIECE = 4 << 20
PIECES = 4


def data_of(piece: int) -> bytes:
    return bytes([piece + 1]) * PIECE


async def main(directory: str) -> None:
    disk_room.LARGE_BYTES = PIECE
    async with opened(directory) as stand:
        store = stand.store
        body = await store.create_partial(response("k", body_bytes=PIECES * PIECE), sequence=0)
        for piece in range(PIECES):
            await body.write(piece * PIECE, [data_of(piece)])
        stored = await body.commit(body.stored, "ab" * 32)
        body.close()

        def is_free() -> bool:
            with store.disk.claims.briefly(stored.body) as is_mine:
                return is_mine

        await until(is_free)
        await asyncio.to_thread(store.disk.evict, PIECE)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
