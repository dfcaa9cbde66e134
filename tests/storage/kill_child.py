"""Run by the kill test: stores without end; says each key that is on disk."""

import asyncio
import sys
from itertools import count

from storage_stand import opened


async def main(directory: str) -> None:
    async with opened(directory, disk=2_000_000) as stand:
        for number in count():
            await stand.put(f"k{number % 30}", b"%06d" % number * (20 if number % 2 else 8000))
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
