"""Whole request heads already answered from memory, and the bytes of their answers.

A remembered head costs one dictionary look-up, two comparisons and one write. It is good while the
handler's permission (Reuse) holds: before `fresh_until`, in the same `sequence`. The head of the
answer is made again when the second changes, because Age does. Content in a file is sent from there, by
who can, while the file is what it was and its pages are in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from edgeproxy.message import Headers, Outcome, Response, Reuse
from edgeproxy.metrics import SECONDS_BUCKETS, Histogram, Metrics
from edgeproxy.serving import page_cache
from edgeproxy.serving.response_head import DateField, Framing, encode_head

# Up to here head and content are kept as one string: the copy is cheaper than a second buffer.
JOINED_BYTES = 2 << 10

Answer: TypeAlias = "bytes | tuple[bytes, bytes]"


class Remembered:
    """One head and its answer. `line` is for the access log's use."""

    version = "1.1"

    __slots__ = (
        "_buckets",
        "_bytes",
        "_requests",
        "answer",
        "authority",
        "built_at",
        "built_until",
        "data",
        "file",
        "head",
        "head_only",
        "headers",
        "held",
        "length",
        "line",
        "method",
        "outcome",
        "request_labels",
        "reuse",
        "site_labels",
        "size",
        "source",
        "target",
        "uses",
    )

    def __init__(
        self, method: str, target: str, authority: str, headers: Headers, reuse: Reuse, outcome: Outcome
    ) -> None:
        self.method = method
        self.target = target
        self.authority = authority
        self.headers = headers
        self.reuse = reuse
        self.held = reuse.held
        self.source = reuse.source
        self.uses = 0  # not counted in the metrics yet
        self.outcome = outcome
        self.head_only = method == "HEAD"
        self.data = reuse.data
        self.size = reuse.size
        self.length = 0 if self.head_only else self.size
        self.file = reuse.file if self.length else None
        self.head = b""
        self.answer: Answer = b""
        self.built_at = 0.0
        self.built_until = 0.0
        self.request_labels = (outcome.site, outcome.cache.value, "200")
        self.site_labels = (outcome.site,)
        self._requests: dict[tuple[str, ...], int] = {}
        self._bytes: dict[tuple[str, ...], int] = {}
        self._buckets: list[int] = []
        self.line: bytes | None = None

    def bind(self, metrics: Metrics) -> None:
        """Count uses in `metrics`, with as little work for each as can be."""
        metrics.count("requests_total", *self.request_labels, by=0)
        metrics.count("client_bytes_total", *self.site_labels, by=0)
        self._requests = metrics.counters["requests_total"]
        self._bytes = metrics.counters["client_bytes_total"]
        histograms = metrics.histograms["request_seconds"]
        histogram = histograms.get(self.site_labels)
        if histogram is None:
            histogram = histograms[self.site_labels] = Histogram([0] * (len(SECONDS_BUCKETS) + 1))
        self._buckets = histogram.counts

    def settle(self) -> None:
        """Count the uses since the last time."""
        uses, self.uses = self.uses, 0
        if uses:
            self._requests[self.request_labels] += uses
            self._bytes[self.site_labels] += uses * self.length
            self._buckets[0] += uses  # far below the first bound

    def is_good(self, now: float, sequence: int) -> bool:
        held, source = self.held, self.source
        if now >= held.fresh_until or held.sequence != sequence:
            return False
        return source is None or (now < source.fresh_until and source.sequence == sequence)

    def is_at_hand(self) -> bool:
        """Whether the content can leave at once: what is in a file is what was proven, and in memory."""
        file = self.file
        return file is None or (file.is_unchanged() and page_cache.holds(file.fileno(), 0, self.size))

    def build(self, now: float, date: DateField) -> None:
        """Make the answer of this second, of content in a file its head. ValueError if a field cannot be
        sent."""
        head = encode_head(
            200,
            self.reuse.fields(now),
            length=self.size,
            framing=Framing.NONE if self.head_only else Framing.LENGTH,
            connection="",
            date=date.at(now),
        )
        self.head = head
        if self.head_only or not self.data:
            self.answer = head
        elif len(self.data) <= JOINED_BYTES:
            self.answer = head + self.data
        else:
            self.answer = (head, self.data)
        self.built_at = float(int(now))
        self.built_until = self.built_at + 1.0


Kind = TypeVar("Kind", bound=Remembered)


class RequestMemo(Generic[Kind]):
    """At most `entries_max` heads of at most `head_max` bytes; the longest known leaves first."""

    __slots__ = ("_date", "_entries", "_entries_max", "_head_max", "_sequence")

    def __init__(self, entries_max: int, head_max: int, sequence: Callable[[], int], date: DateField) -> None:
        # A plain dict looks over every gap of what has left to find its oldest: 5 us at 4096 entries.
        self._entries: OrderedDict[bytes, Kind] = OrderedDict()
        self._entries_max = entries_max
        self._head_max = head_max
        self._sequence = sequence
        self._date = date

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, head: bytes, now: float) -> Kind | None:
        """What `head` may be answered with at `now`, its answer ready; None to ask the handler."""
        entry = self._entries.get(head)
        if entry is None:
            return None
        held = entry.held  # written out, not is_good: this runs for every hit
        if (
            now < held.fresh_until
            and held.sequence == self._sequence()
            and (entry.source is None or entry.is_good(now, held.sequence))
        ):
            if not entry.built_at <= now < entry.built_until:
                try:
                    entry.build(now, self._date)
                except ValueError:
                    self._forget(head)
                    return None
                # Once a second is enough for eviction to know it is wanted, and costs nothing.
                entry.reuse.used()
            entry.uses += 1
            return entry
        self._forget(head)
        return None

    def _forget(self, head: bytes) -> None:
        self._entries.pop(head).settle()

    def remember(self, head: bytes, entry: Kind) -> None:
        if len(head) > self._head_max or not self._entries_max:
            return
        entries = self._entries
        if head in entries:
            self._forget(head)
        elif len(entries) >= self._entries_max:
            self._forget(next(iter(entries)))
        entries[head] = entry

    def clear(self) -> None:
        """Forget everything: the handler is another one."""
        for head in list(self._entries):
            self._forget(head)

    def limit(self, entries_max: int, head_max: int) -> None:
        self._entries_max, self._head_max = entries_max, head_max
        if len(self._entries) > entries_max:
            self.clear()

    def close(self) -> None:
        """Answer nothing any more."""
        self.limit(0, 0)
        self.clear()

    def settle(self) -> None:
        """Bring the metrics up to date with what was answered from here."""
        for entry in self._entries.values():
            entry.settle()

    def sweep(self, now: float) -> None:
        """Let go of what can no longer be used, and of its content."""
        sequence = self._sequence()
        self.settle()
        for head in [head for head, entry in self._entries.items() if not entry.is_good(now, sequence)]:
            self._forget(head)


def is_reusable(response: Response) -> bool:
    """Whether a response says that byte-equal requests may have it without asking again."""
    return response.reuse is not None and response.status == 200 and not response.close
