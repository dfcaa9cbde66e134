"""Run by the fault tests: a store whose files may not grow beyond a megabyte."""

import asyncio
import resource
import sys

from storage_stand import opened, part_bytes

from edgeproxy.errors import StorageError


async def main(directory: str) -> None:
    async with opened(directory) as stand:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        writer = stand.store.writer("large", sequence=0, expected_bytes=None, memory_only=False)
        try:
            for number in range(20):
                await writer.write([bytes([number]) * 90_000])
        except StorageError:
            print("large:failed")
        partial = part_bytes(writer.slice(0, writer.written))
        await writer.abort()
        await stand.put("small", b"small" * 10)
        print("small:right" if await stand.get("small") == b"small" * 10 else "small:wrong")
        whole = b"".join(bytes([number]) * 90_000 for number in range(20))
        print("partial:right" if partial and whole.startswith(partial) else "partial:wrong")
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
