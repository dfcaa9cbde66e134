"""Answers that depend on who asks, for when the same client sends the same bytes again: a redirect, say.

The request memo answers everybody who sends the same bytes; this one goes by the client's address as well,
and asks each time whether the answer still stands (Response.repeat)."""

from __future__ import annotations

from edgeproxy.message import Repeatable, Request, Response
from edgeproxy.serving.response_head import DateField, Framing, encode_head

HEAD_BYTES_MAX = 4 << 10


class Repeated:
    """An answer with the bytes it is made of in the second `built_at`."""

    __slots__ = ("answer", "built_at", "repeat", "request", "response", "size")

    def __init__(self, request: Request, response: Response, repeat: Repeatable, data: bytes) -> None:
        self.request = request
        self.response = response
        self.repeat = repeat
        self.size = len(data)
        self.answer = data
        self.built_at = -1


class Repeats:
    """By client and whole request head; at most `entries_max`, the longest known leave first."""

    __slots__ = ("_date", "_entries", "_entries_max")

    def __init__(self, entries_max: int, date: DateField) -> None:
        self._entries: dict[tuple[str, bytes], Repeated] = {}
        self._entries_max = entries_max
        self._date = date

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, client: str, head: bytes, now: float) -> Repeated | None:
        """What `head` is answered with, its bytes ready; None to ask the handler."""
        entry = self._entries.get((client, head))
        if entry is None:
            return None
        if not entry.repeat(now):
            del self._entries[client, head]
            return None
        second = int(now)
        if second != entry.built_at:
            entry.answer = self._built(entry, now)
            entry.built_at = second
        return entry

    def _built(self, entry: Repeated, now: float) -> bytes:
        data = entry.answer[len(entry.answer) - entry.size :]
        head = encode_head(
            entry.response.status,
            entry.response.headers,
            length=entry.size,
            framing=Framing.LENGTH,
            connection="",
            date=self._date.at(now),
        )
        return head + data

    def remember(self, client: str, head: bytes, request: Request, response: Response, data: bytes) -> None:
        """`response` has been sent in answer to `head`, and may be sent again."""
        repeat = response.repeat
        if repeat is None or len(head) > HEAD_BYTES_MAX or not self._entries_max:
            return
        entries = self._entries
        entries.pop((client, head), None)
        if len(entries) >= self._entries_max:
            del entries[next(iter(entries))]
        entries[client, head] = Repeated(request, response, repeat, data)

    def clear(self) -> None:
        self._entries.clear()
