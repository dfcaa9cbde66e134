"""Asks a node for files and throws the bytes away: afterwards the node has them.

Everything goes through the node as any client's request would. A broken answer is taken up where it
broke; what cannot be had is told at the end and does not keep the rest from being fetched."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import orjson
import yarl

import edgeproxy
from edgeproxy.cli.warm_targets import Place, RepositoryTarget
from edgeproxy.errors import EdgeError
from edgeproxy.sites import hub_names, hub_tree

JSON_BYTES_MAX = 64 << 20
PAGES_MAX = 2_000
ATTEMPTS = 5
CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0
DELAY_SECONDS = 1.0
DELAY_SECONDS_MAX = 30.0

_PIECE = 1 << 20
_DIGITS = re.compile(r"[0-9]{1,3}", re.ASCII)
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_HIT = re.compile(r"; ?hit(?:;|$)")
_QUOTED = re.compile(r'"[^"]*"')


class NotWarmed(EdgeError):
    """Something could not be had; one line for a person. `again` is whether another try may help,
    `delay` the seconds to wait before it, if the node said so."""

    def __init__(self, message: str, *, again: bool = False, delay: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.delay = delay


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch; `size` in bytes, None if it is not known beforehand."""

    name: str
    url: str
    size: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went with one file; `error` is "" if it is there now. `was_there`: it came from the store."""

    wanted: Wanted
    received_bytes: int = 0
    was_there: bool = False
    error: str = ""


class Watcher(Protocol):
    """Is told how it goes; called on the event loop."""

    def begun(self, wanted: Wanted) -> None: ...

    def moved(self, wanted: Wanted, received_bytes: int, size: int | None) -> None:
        """`received_bytes` is how much of the file is here now, over all tries."""
        ...

    def ended(self, ended: Ended) -> None: ...


class Walk:
    """One session with a node; `delay_seconds` is waited before a second try, then twice as long."""

    def __init__(self, session: aiohttp.ClientSession, delay_seconds: float = DELAY_SECONDS) -> None:
        self._session = session
        self._delay_seconds = delay_seconds

    async def files(
        self, target: RepositoryTarget, place: Place, token: str
    ) -> tuple[str, tuple[Wanted, ...]]:
        """The commit a revision stands for and the files in it. Raises NotWarmed."""
        fields = {"Authorization": f"Bearer {token}"} if token else {}
        if place.host:
            fields["Host"] = place.host
        commit = target.revision
        if not hub_names.is_commit(commit):
            commit = _commit(await self._json(place.url + target.info_path, fields))
        url: str | None = place.url + target.tree_path(commit)
        entries: list[hub_tree.Entry] = []
        for _ in range(PAGES_MAX):
            if url is None:
                break
            page = await self._page(url, fields)
            entries += page.entries
            base = url.partition("?")[0]
            url = f"{base}?{page.following}" if page.following else None
        else:
            raise NotWarmed(f"the listing of {target} has no end")
        return commit, tuple(
            Wanted(entry.path, place.url + target.file_path(commit, entry.path), entry.size, fields)
            for entry in entries
            if not entry.is_folder
        )

    async def fetch(self, files: Iterable[Wanted], jobs: int, watcher: Watcher) -> list[Ended]:
        """Fetch each of `files`, `jobs` at a time, in order."""
        left = iter(files)
        results: list[Ended] = []

        async def work() -> None:
            for wanted in left:  # shared by the workers, who never wait while they take from it
                watcher.begun(wanted)
                ended = await self._file(wanted, watcher)
                results.append(ended)
                watcher.ended(ended)

        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(work())
        return results

    async def _file(self, wanted: Wanted, watcher: Watcher) -> Ended:
        progress = _Progress(wanted, watcher)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                was_there = await self._body(wanted, progress)
                return Ended(wanted, progress.received, was_there and attempt == 1)
            except NotWarmed as error:
                if not error.again or attempt == ATTEMPTS:
                    return Ended(wanted, progress.received, error=str(error))
                delay = error.delay
            await asyncio.sleep(self._wait(attempt, delay))
        raise AssertionError("the last attempt returns")

    def _wait(self, attempt: int, delay: float | None) -> float:
        return min(DELAY_SECONDS_MAX, self._delay_seconds * 2 ** (attempt - 1) if delay is None else delay)

    async def _body(self, wanted: Wanted, progress: _Progress) -> bool:
        """One try at a file; tells whether it came from the store. Raises NotWarmed."""
        fields = dict(wanted.fields)
        if progress.received and progress.etag:
            fields |= {"Range": f"bytes={progress.received}-", "If-Range": progress.etag}
        async with self._asked(wanted.url, fields) as answer:
            if answer.status not in (200, 206):
                raise _refused(answer)
            if answer.status == 200:
                progress.begin(answer.headers.get("ETag", ""))
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {progress.received}-"):
                raise NotWarmed("the node sends another part than was asked for")
            if answer.content_length is not None:
                progress.size = progress.received + answer.content_length
            async for piece in answer.content.iter_chunked(_PIECE):
                progress.add(len(piece))
            was_there = _is_hit(answer.headers.get("Cache-Status", ""))
        if wanted.size is not None and progress.received != wanted.size:
            short = f"{progress.received} bytes came, {wanted.size} should have"
            progress.begin("")
            raise NotWarmed(short)
        return was_there

    async def _page(self, url: str, fields: Mapping[str, str]) -> hub_tree.Page:
        data, link = await self._whole(url, fields)
        try:
            return hub_tree.read_page(data, link)
        except EdgeError as error:
            raise NotWarmed(str(error)) from None

    async def _json(self, url: str, fields: Mapping[str, str]) -> Any:
        data, _ = await self._whole(url, fields)
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            raise NotWarmed(f"what {url} answers is not what a hub says") from None

    async def _whole(self, url: str, fields: Mapping[str, str]) -> tuple[bytes, str]:
        """A small answer and its Link field; tried again like a file."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._asked(url, fields) as answer:
                    if answer.status != 200:
                        raise _refused(answer)
                    data = bytearray()
                    async for piece in answer.content.iter_chunked(_PIECE):
                        data += piece
                        if len(data) > JSON_BYTES_MAX:
                            raise NotWarmed(f"what {url} answers has no end")
                    return bytes(data), ", ".join(answer.headers.getall("Link", []))
            except NotWarmed as error:
                if not error.again or attempt == ATTEMPTS:
                    raise
                delay = error.delay
            await asyncio.sleep(self._wait(attempt, delay))
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def _asked(self, url: str, fields: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Raises NotWarmed for trouble with the connection, also while the answer is read."""
        asked = yarl.URL(url, encoded=True)
        try:
            async with self._session.get(asked, headers=fields) as answer:
                if answer.url.origin() != asked.origin():
                    raise NotWarmed(f"the node sends away to {answer.url.origin()}")
                yield answer
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or str(error.os_error)
            raise NotWarmed(f"no node answers at {asked.origin()}: {why}", again=True) from None
        except TimeoutError:
            raise NotWarmed("the node is silent", again=True) from None
        except (aiohttp.InvalidURL, aiohttp.TooManyRedirects, ValueError) as error:
            raise NotWarmed(f"{url} cannot be asked for: {type(error).__name__}") from None
        except aiohttp.ClientError as error:
            raise NotWarmed(f"the answer breaks off: {type(error).__name__}", again=True) from None


class _Progress:
    """How much of one file is here, over all tries; the watcher is told."""

    def __init__(self, wanted: Wanted, watcher: Watcher) -> None:
        self._wanted = wanted
        self._watcher = watcher
        self.received = 0
        self.size = wanted.size
        self.etag = ""

    def begin(self, etag: str) -> None:
        self.received = 0
        self.etag = "" if etag.startswith("W/") else etag

    def add(self, count: int) -> None:
        self.received += count
        self._watcher.moved(self._wanted, self.received, self.size)


def _commit(info: Any) -> str:
    commit = info.get("sha") if isinstance(info, dict) else None
    if not isinstance(commit, str) or not hub_names.is_commit(commit):
        raise NotWarmed("the hub does not say which commit this is")
    return commit


def _is_hit(cache_status: str) -> bool:
    """Whether the node itself answered from its store: the last cache in the list (RFC 9211 section 2)."""
    return _HIT.search(_QUOTED.sub("", cache_status).rpartition(",")[2]) is not None


def _refused(answer: aiohttp.ClientResponse) -> NotWarmed:
    message = answer.headers.get("X-Error-Message") or answer.reason or ""
    again = answer.headers.get("Retry-After", "")
    delay = float(again) if _DIGITS.fullmatch(again) else None
    if answer.status == 401 and answer.headers.get("X-Error-Code") == "RepoNotFound":
        message = f"{message} There is no such repository, or it takes a token ($HF_TOKEN, --token-file)."
    said = "".join(letter if letter.isprintable() else " " for letter in message[:300])
    return NotWarmed(f"{answer.status} {said}".rstrip(" "), again=answer.status in _RETRIED, delay=delay)


@asynccontextmanager
async def walking(
    jobs: int, trusted_file: str = "", *, delay_seconds: float = DELAY_SECONDS
) -> AsyncIterator[Walk]:
    """A Walk with connections of its own, at most `jobs`; no proxy of the environment is used. What is
    in `trusted_file` is trusted beside the system's roots. Raises NotWarmed if it cannot be read."""
    context = ssl.create_default_context()
    if trusted_file:
        try:
            context.load_verify_locations(trusted_file)
        except OSError as error:
            raise NotWarmed(f"{trusted_file}: {error.strerror or error}") from None
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    session = aiohttp.ClientSession(
        timeout=timeout,
        connector=aiohttp.TCPConnector(limit=jobs, ssl=context),
        headers={
            "Accept-Encoding": "identity",
            "User-Agent": f"edgeproxy-warm/{edgeproxy.__version__}",
        },
        auto_decompress=False,
        read_bufsize=_PIECE,
    )
    async with session:
        yield Walk(session, delay_seconds)
