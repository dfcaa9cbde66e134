"""Certificates of a running node: files that change are read again, and handed over as a whole new value.

New handshakes use it, running connections go on with what they began with. What cannot be used leaves the
old value in force."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.serving.tls import Contexts, Sources, load

# Ticket keys live as long as a context; who gets hold of one can read what was sent under it.
TICKET_KEY_SECONDS = 12 * 3600.0
_WARN_SECONDS = 14 * 86400.0
_WARN_EVERY_SECONDS = 86400.0

Stamp = tuple[int, int, int] | None  # of a file: modification time, inode, size; None if it is not there


class TlsWatch:
    """Holds the contexts in force. `report` takes one line for the node's own log."""

    def __init__(
        self,
        sources: Sources,
        protocols: Sequence[str],
        *,
        clock: Clock,
        metrics: Metrics,
        report: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._protocols = tuple(protocols)
        self._clock = clock
        self._metrics = metrics
        self._report = report
        self._contexts: Contexts | None = None
        self._used: list[Stamp] = []  # of the files in force, or of those that were reported
        self._doubted: list[Stamp] | None = None  # could not be used; perhaps still being written
        self._loaded_at = 0.0
        self._warned_at = 0.0
        metrics.gauge("certificate_seconds", lambda: self.contexts.expires - clock())

    @property
    def contexts(self) -> Contexts:
        assert self._contexts is not None, "not started"
        return self._contexts

    async def start(self) -> None:
        """Read the files for the first time. Raises ConfigurationError naming what cannot be used."""
        await self._load()
        self._warn()

    async def run(self) -> None:
        """Look now and then, for ever."""
        pause = self._sources.settings.reload
        while pause:
            await asyncio.sleep(pause)
            await self.look()

    async def look(self) -> None:
        """Take over what has changed. A file that cannot be used is given until the next look, since two
        files are seldom written at once; then it is reported, once, and counted."""
        stamps = await asyncio.to_thread(self._stamps)
        if stamps == self._used and self._clock() - self._loaded_at < TICKET_KEY_SECONDS:
            self._warn()
            return
        try:
            await self._load()
        except ConfigurationError as error:
            if stamps == self._doubted:
                self._used, self._loaded_at = stamps, self._clock()
                self._metrics.count("tls_reloads_total", "failed")
                self._report(f"{error}; the certificates read before stay in use")
            self._doubted = stamps
            return
        self._metrics.count("tls_reloads_total", "ok")
        self._warn()

    async def _load(self) -> None:
        stamps, contexts = await asyncio.to_thread(self._read)
        self._contexts = contexts
        self._used, self._doubted, self._loaded_at = stamps, None, self._clock()

    def _read(self) -> tuple[list[Stamp], Contexts]:
        # Stamped first: what is written while we read is then seen as a change.
        before = self._stamps()
        contexts = load(self._sources, self._protocols, self._clock())
        # A certificate of the node's own may just have been made.
        return (self._stamps() if self._sources.settings.self_signed else before), contexts

    def _stamps(self) -> list[Stamp]:
        return [_stamp(path) for path in self._sources.paths()]

    def _warn(self) -> None:
        now = self._clock()
        left = self.contexts.expires - now
        if left < _WARN_SECONDS and now - self._warned_at >= _WARN_EVERY_SECONDS:
            self._warned_at = now
            when = f"expires in {left / 86400:.0f} days" if left > 0 else "has expired"
            self._report(f"a certificate of the https listeners {when}")


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
