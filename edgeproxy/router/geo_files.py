"""Keeps the atlas up to date: looks at its files now and then, reads those that changed aside, in a thread,
and swaps. A file that cannot be used is refused with one line, and the former one stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from edgeproxy.message import Clock
from edgeproxy.router import country_table
from edgeproxy.router.atlas import Atlas
from edgeproxy.router.bgp_table import UnusableRoutes
from edgeproxy.router.client import Address, Whereabouts
from edgeproxy.router.country_source import read_countries
from edgeproxy.router.country_table import Countries, UnusableTable
from edgeproxy.router.geo_database import UnusableDatabase, open_database
from edgeproxy.router.routes_file import read_routes

OLD_DAYS = 180
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class GeoSettings:
    """Files of the operator's; None: none. Without `country_source` the package's own table is used."""

    city: Path | None = None
    asn: Path | None = None
    routes: Path | None = None
    country_source: Path | None = None
    look_seconds: float = 60.0


Mark = tuple[int, int, int]  # of a file: changed when, how large, which one


class GeoFiles:
    """Implements Geography with what was read last. `load` reads everything the first time; `run` lasts until
    cancelled; `changed` is called after a swap."""

    def __init__(
        self,
        settings: GeoSettings,
        *,
        clock: Clock,
        report: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._report = report
        self._changed = changed
        self._marks: dict[str, Mark | None] = {}
        self._warned_at = float("-inf")
        self._embedded: Countries | None = None
        self.atlas: Atlas | None = None

    def whereabouts(self, address: Address) -> Whereabouts:
        return self.atlas.whereabouts(address) if self.atlas is not None else Whereabouts()

    async def load(self) -> None:
        """The country table, and what else can be used. Takes from 0.2 s to some seconds, in a thread."""
        self._embedded = await asyncio.to_thread(country_table.embedded)
        self.atlas = Atlas(self._embedded)
        await self.look()

    async def run(self) -> None:
        if self.atlas is None:
            await self.load()
        while True:
            await asyncio.sleep(self._settings.look_seconds)
            await self.look()

    async def configure(self, settings: GeoSettings) -> None:
        """Another configuration: files that stay the same are not read again."""
        before, self._settings = self._settings, settings
        for part in _PARTS:
            if getattr(before, part) != getattr(settings, part):
                self._marks.pop(part, None)
                if getattr(settings, part) is None:
                    self._swap(part, None)
        await self.look()

    async def look(self) -> None:
        """Read what has changed since the last look."""
        for part in _PARTS:
            path: Path | None = getattr(self._settings, part)
            if path is None:
                continue
            mark = await asyncio.to_thread(_mark, path)
            if part in self._marks and mark == self._marks[part]:
                continue
            # Also of a file that cannot be used: it is read once, not at every look.
            self._marks[part] = mark
            await self._read(part, path)
        self._warn_of_age()

    async def _read(self, part: str, path: Path) -> None:
        try:
            found = await asyncio.to_thread(self._opened, part, path)
        except (UnusableDatabase, UnusableRoutes, UnusableTable) as error:
            former = "the former one stays" if self._has(part) else "it is left out"
            self._report(f"geo.{part}: {error}; {former}")
            return
        self._swap(part, found)
        self._report(f"geo.{part}: {path} is used")

    def _opened(self, part: str, path: Path) -> Any:
        if part == "routes":
            return read_routes(path)
        if part == "country_source":
            assert self._embedded is not None
            return read_countries(path, self._embedded)
        return open_database(path)

    def _has(self, part: str) -> bool:
        if self.atlas is None:
            return False
        if part == "country_source":
            return self.atlas.countries is not self._embedded
        return getattr(self.atlas, part) is not None

    def _swap(self, part: str, found: Any) -> None:
        assert self.atlas is not None
        if part == "country_source":
            assert self._embedded is not None
            self.atlas = replace(self.atlas, countries=found or self._embedded)
        else:
            self.atlas = replace(self.atlas, **{part: found})
        self._changed()

    def _warn_of_age(self) -> None:
        """Once a day."""
        now = self._clock()
        if self.atlas is None or now - self._warned_at < DAY_SECONDS:
            return
        built = self.atlas.countries.v4.built
        age = _days(built, now)
        if age is not None and age > OLD_DAYS:
            self._warned_at = now
            self._report(f"the country table is of {built} and {age} days old: see geo.country_source")


_PARTS = ("country_source", "city", "asn", "routes")


def _mark(path: Path) -> Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _days(built: str, now: float) -> int | None:
    try:
        return (datetime.fromtimestamp(now).date() - date.fromisoformat(built[:10])).days
    except (ValueError, OverflowError, OSError):
        return None
