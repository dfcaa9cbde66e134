"""Content on its way to one client alone, of which it is known what it must be: kept nowhere, and yet no
client completes it when it is not that."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

from edgeproxy.errors import BodyAborted
from edgeproxy.message import Body, Part
from edgeproxy.pipeline.receiving import Digests

HOLD_BYTES = 64 << 10


class ProvenContent:
    """`content`, which is bytes, with its last bytes held back until its digest matches. `mismatched` is told
    why it does not."""

    def __init__(self, content: Body, digests: Digests, mismatched: Callable[[str], None]) -> None:
        self._content = content
        self._digests = digests
        self._mismatched = mismatched
        self.length = content.length

    async def parts(self) -> AsyncIterator[Part]:
        held: deque[bytes] = deque()
        waiting = 0
        async for part in self._content.parts():
            assert isinstance(part, bytes)
            self._digests.update(part)
            held.append(part)
            waiting += len(part)
            while waiting - len(held[0]) >= HOLD_BYTES:
                waiting -= len(held[0])
                yield held.popleft()
        said = self._digests.mismatch()
        if said:
            self._mismatched(said)
            raise BodyAborted(said)
        for part in held:
            yield part

    async def aclose(self) -> None:
        await self._content.aclose()
