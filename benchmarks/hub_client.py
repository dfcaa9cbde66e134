"""Clients of a hub that ask once, follow redirects and check every byte: what a command or a job does that is
started, takes a file and ends. Each request has fresh connections; none is tried again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from benchmarks import bodies
from benchmarks.hub_models import File, Models

_REDIRECTS_MAX = 4
_HEAD_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a model at its branch, or with `file` None what the hub tells of the model."""

    kind: str
    model: str
    commit: str
    file: File | None = None

    @property
    def target(self) -> str:
        if self.file is None:
            return f"/api/models/{self.model}/revision/main"
        return f"/{self.model}/resolve/main/{self.file.path}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one request that was due at `when`. Seconds are from then; `first_byte_seconds` is when
    the first byte of what was wanted was there, `late_seconds` when it was begun. `problem` is why it did
    not come right, or ""."""

    kind: str
    when: float
    seconds: float
    first_byte_seconds: float
    late_seconds: float = 0.0
    cache_status: str = ""
    problem: str = ""

    @property
    def is_hit(self) -> bool:
        return "; hit" in self.cache_status


class Failed(Exception):
    """No right answer; the text says why."""


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    fields: dict[str, str]

    @property
    def length(self) -> int:
        text = self.fields.get("content-length", "")
        if not text.isdecimal():
            raise Failed("an answer without a length")
        return int(text)


def wanted(models: Models, model: str, kind: str) -> Wanted:
    """`kind` is "info", the path of a file, or "weights" for the first shard."""
    commit, files = models.commit(model), models.files(model)
    if kind == "info":
        return Wanted(kind, model, commit)
    path = next(path for path, file in files.items() if path == kind or (kind == "weights" and file.large))
    return Wanted(kind, model, commit, files[path])


async def take_on_time(
    base: str, wants: Iterable[tuple[float, Wanted]], *, agent: str, timeout_seconds: float
) -> list[Taken]:
    """Each thing wanted at its time, in seconds from now, whatever has become of those before."""
    begun, running = time.perf_counter(), []
    for when, want in wants:
        due = begun + when
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        taking = take(base, want, agent=agent, timeout_seconds=timeout_seconds, begun=begun, when=when)
        running.append(asyncio.ensure_future(taking))
    return list(await asyncio.gather(*running))


async def take(
    base: str, want: Wanted, *, agent: str, timeout_seconds: float, begun: float, when: float
) -> Taken:
    """One request that was due at `when` after `begun`; nothing is raised: what fails is a problem."""
    due = begun + when
    asking = _Asking(want, agent, due)
    late = time.perf_counter() - due
    try:
        async with asyncio.timeout(timeout_seconds):
            await asking.run(base + want.target)
        problem = ""
    except TimeoutError:
        problem = f"not there within {timeout_seconds:g} s"
    except (OSError, EOFError, ValueError, Failed) as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        asking.close()
    seconds = time.perf_counter() - due
    first = asking.first_byte_seconds or seconds
    return Taken(want.kind, when, seconds, first, late, asking.cache_status, problem)


class _Asking:
    def __init__(self, want: Wanted, agent: str, due: float) -> None:
        self._want, self._agent, self._due = want, agent, due
        self._place = ""
        self._writer: asyncio.StreamWriter | None = None
        self.first_byte_seconds = 0.0
        self.cache_status = ""

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def run(self, url: str) -> None:
        for _ in range(_REDIRECTS_MAX):
            head = await self._ask(url)
            if head.status not in (301, 302, 303, 307, 308):
                await self._check(head)
                return
            url = urljoin(url, head.fields.get("location", ""))
            with contextlib.suppress(EOFError):  # whoever redirects has said all that matters
                await self._reader.readexactly(head.length)
                continue
            self.close()
        raise Failed("too many redirects")

    async def _ask(self, url: str) -> _Head:
        parts = urlsplit(url)
        if self._writer is None or parts.netloc != self._place:
            self.close()
            self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port)
            self._place = parts.netloc
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: {self._agent}/1\r\n\r\n"
        self._writer.write(lines.encode())
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        return _Head(int(first[9:12]), fields)

    async def _check(self, head: _Head) -> None:
        """Read the answer. Raises Failed where it is not what was wanted."""
        self.cache_status = head.fields.get("cache-status", "")
        if head.status != 200:
            raise Failed(f"status {head.status}")
        length, file = head.length, self._want.file
        data = await self._read(length)
        if file is None:
            if json.loads(data)["sha"] != self._want.commit:
                raise Failed("wrong bytes: another commit")
        elif length != file.size or not bodies.matches(file.body, 0, data):
            raise Failed("wrong bytes")

    async def _read(self, length: int) -> bytes:
        first = await self._reader.read(min(length, _HEAD_MAX))
        self.first_byte_seconds = time.perf_counter() - self._due
        return first + await self._reader.readexactly(length - len(first))
