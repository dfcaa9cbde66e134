"""The access log: lines are queued by the loop, formatted and written by a thread.

Nothing here can make a request wait. While the log cannot take lines the queue fills, further lines
are dropped, and what was dropped is counted."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from typing import TypeAlias

import orjson

from edgeproxy.config import Log
from edgeproxy.errors import StartError
from edgeproxy.metrics import Metrics
from edgeproxy.serving.log_line import (
    LogEntry,
    combined_line,
    combined_rest,
    combined_time,
    iso_time,
    json_line,
    json_rest,
)
from edgeproxy.serving.request_memo import Remembered
from edgeproxy.serving.trace import RequestIds

_PERIOD = 0.05  # seconds in which lines gather to be written together
_BATCH = 512
_CLOSING_SECONDS = 2.0

Recalled: TypeAlias = "tuple[Remembered, float, str]"


class AccessLog:
    """Writes one line for each exchange as `settings` say."""

    def __init__(self, settings: Log, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._json = settings.access == "json"
        self._queue: deque[LogEntry | Recalled] = deque()
        self._limit = settings.queue
        self._lost = 0  # by the thread; moved to the metrics by the loop, which owns them
        self._wake = threading.Event()  # there is a line, or nothing more comes
        self._asleep = False  # the thread waits for a line: whoever has one wakes it
        self._ended = threading.Event()
        self._descriptor = -1
        self._is_pipe = False
        self._thread: threading.Thread | None = None
        self._lines = _RecalledLines(self._json)
        self.enabled = settings.access != "off"

    @property
    def has_file(self) -> bool:
        """Whether it writes to a file of its own, which may have been moved away to begin a new one."""
        return self.enabled and self._settings.access_file not in ("", "-")

    def start(self) -> None:
        """Open the log. Raises StartError if it cannot be opened."""
        if not self.enabled or self._thread is not None:
            return
        path = self._settings.access_file
        if path in ("", "-"):
            self._descriptor = os.dup(1 if path else 2)
        else:
            try:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(path, flags, 0o640)
            except OSError as error:
                raise StartError(f"access log {path}: {error.strerror}") from error
        self._is_pipe = stat.S_ISFIFO(os.fstat(self._descriptor).st_mode)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def put(self, entry: LogEntry | Recalled) -> None:
        """Queue a line; a recalled one is (what was remembered, wall-clock seconds, client)."""
        if len(self._queue) >= self._limit:
            self._metrics.count("log_lines_dropped_total")
            return
        self._queue.append(entry)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def count_lost(self) -> None:
        """Count lines the thread could not write. Called now and then by the loop."""
        lost = self._lost
        if lost:
            self._lost -= lost
            self._metrics.count("log_lines_dropped_total", by=lost)

    def close(self) -> None:
        """Write what is queued, but wait no longer than two seconds for a log that is stuck."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._ended.set()
        self._wake.set()
        thread.join(_CLOSING_SECONDS)
        if not thread.is_alive():
            os.close(self._descriptor)
        self._lost += len(self._queue)
        self._queue.clear()
        self.count_lost()

    def _run(self) -> None:
        while True:
            self._sleep()
            self._ended.wait(_PERIOD)
            closing = self._ended.is_set()
            while self._queue:
                self._write_batch()
            if closing:
                return

    def _sleep(self) -> None:
        """Until there is a line. Who puts one looks at `_asleep` after that, so that one sees the other."""
        self._wake.clear()
        self._asleep = True
        if not self._queue and not self._ended.is_set():
            self._wake.wait()
        self._asleep = False

    def _write_batch(self) -> None:
        lines: list[bytes] = []
        while self._queue and len(lines) < _BATCH:
            entry = self._queue.popleft()
            if isinstance(entry, LogEntry):
                lines.append(json_line(entry) if self._json else combined_line(entry))
            else:
                lines.append(self._lines.line(*entry))
        try:
            self._write_lines(lines)
        except OSError:
            self._lost += len(lines)  # a full disk or a closed pipe costs lines, never requests

    def _write_lines(self, lines: list[bytes]) -> None:
        """Into a pipe no more at a time than the kernel keeps together: other processes write there too."""
        if not self._is_pipe:
            self._write(b"".join(lines))
            return
        start = size = 0
        for place, line in enumerate(lines):
            if size and size + len(line) > select.PIPE_BUF:
                self._write(b"".join(lines[start:place]))
                start, size = place, 0
            size += len(line)
        self._write(b"".join(lines[start:]))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                if self._ended.is_set():
                    raise
                select.select((), (self._descriptor,), (), _PERIOD)


def check_log(settings: Log) -> None:
    """Raises StartError if the access log cannot be opened."""
    log = AccessLog(settings, Metrics())
    log.start()
    log.close()


class _RecalledLines:
    """Lines of answers from the request memo: all but time, id and client is formatted once."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._ids = RequestIds()
        self._time = -1.0
        self._time_text = b""

    def line(self, remembered: Remembered, now: float, client: str) -> bytes:
        rest = remembered.line
        if rest is None:
            rest = remembered.line = self._rest(remembered)
        if not self._as_json:
            if int(now) != self._time:
                self._time, self._time_text = int(now), combined_time(now).encode("ascii")
            return b"%b - - %b %b" % (client.encode("ascii", "replace") or b"-", self._time_text, rest)
        millisecond = int(now * 1000)
        if millisecond != self._time:
            self._time, self._time_text = millisecond, iso_time(now).encode("ascii")
        return b'{"time":"%b","id":"%b","trace":"","client":"%b",%b' % (
            self._time_text,
            self._ids.make().encode("ascii"),
            client.encode("ascii", "replace"),  # an address: from the kernel or checked by us
            rest,
        )

    def _rest(self, remembered: Remembered) -> bytes:
        outcome = remembered.outcome
        entry = LogEntry(
            time=0.0,
            id="",
            trace="",
            client="",
            method=remembered.method,
            authority=remembered.authority,
            target=remembered.target,
            version=remembered.version,
            status=200,
            bytes=remembered.length,
            seconds=0.0,
            first_byte=0.0,
            cache=outcome.cache.value,
            site=outcome.site,
            agent=remembered.headers.get("user-agent"),
            referer=remembered.headers.get("referer"),
        )
        if self._as_json:
            return orjson.dumps(json_rest(entry), option=orjson.OPT_APPEND_NEWLINE)[1:]
        return combined_rest(entry)
