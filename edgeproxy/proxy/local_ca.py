"""The local authority as a running node uses it: looked for again now and then, since `edgeproxy ca` and
`edgeproxy run` may make or replace it while the node runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Clock

if TYPE_CHECKING:
    from edgeproxy.proxy.leaves import Leaves

LOOK_SECONDS = 2.0


class LocalCa:
    """`leaves` gives None while there is no authority that can be used. `protocols` are those of ALPN."""

    def __init__(
        self, directory: Path, protocols: list[str], clock: Clock, report: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._protocols = protocols
        self._clock = clock
        self._report = report
        self._leaves: Leaves | None = None
        self._mark: tuple[int, ...] | None = None
        self._looked = float("-inf")
        self._looking = asyncio.Lock()

    @property
    def at_hand(self) -> Leaves | None:
        """`leaves`, where the authority has just been looked for; None also if that is to be done again."""
        return self._leaves if abs(self._clock() - self._looked) < LOOK_SECONDS else None

    async def leaves(self) -> Leaves | None:
        now = self._clock()
        if abs(now - self._looked) < LOOK_SECONDS:
            return self._leaves
        async with self._looking:
            if abs(now - self._looked) >= LOOK_SECONDS:
                self._leaves = await asyncio.to_thread(self._look)
                self._looked = now
        return self._leaves

    def _look(self) -> Leaves | None:
        """Blocks."""
        try:
            found = (self._directory / "ca.pem").stat()
        except OSError:
            self._mark = None
            return None
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if mark == self._mark:
            return self._leaves
        # What makes certificates takes megabytes: only nodes with an authority have it.
        from edgeproxy.proxy.authority import load
        from edgeproxy.proxy.leaves import Leaves

        self._mark = mark
        try:
            authority = load(self._directory)
        except ConfigurationError as error:
            self._report(f"no host is answered under its own name: {error}")
            return None
        if authority is None:
            return None
        return Leaves(authority, lambda context: context.set_alpn_protocols(self._protocols))
