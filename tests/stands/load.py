"""Very many clients at once, in a process of its own: `python -m stands.load HOST PORT TARGET COUNT`.

Each opens a connection and asks for the same target; printed is how many whole bodies of which
SHA-256 came, which failures, and how long all took, as one line of JSON."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from stands.raw_client import Address

WAIT_SECONDS = 60.0


async def _fetch(host: str, port: int, target: str, outcomes: collections.Counter[str]) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {target} HTTP/1.1\r\nHost: cache.test\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                outcomes[head.split(b"\r\n")[0].decode("latin-1")] += 1
                return
            digest, size = hashlib.sha256(), 0
            while data := await reader.read(1 << 16):
                digest.update(data)
                size += len(data)
            outcomes[f"sha256 {digest.hexdigest()} {size}"] += 1
            writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        outcomes[f"{type(error).__name__}: {error}"[:80]] += 1


async def _main(host: str, port: int, target: str, count: int) -> None:
    outcomes: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    await asyncio.gather(*(_fetch(host, port, target, outcomes) for _ in range(count)))
    print(json.dumps({"outcomes": outcomes, "seconds": time.monotonic() - began}))


def crowd(address: Address, target: str, count: int) -> dict[str, Any]:
    """Run the load to its end; the digests are those of the content of answers framed by length."""
    command = [sys.executable, "-m", "stands.load", address[0], str(address[1]), target, str(count)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, timeout=100, check=True
    )
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
