"""Logs to a trace."""

from __future__ import annotations

import gzip
import io

from edgeproxy.simulation.reading import EXAMPLES_MAX, read
from edgeproxy.simulation.trace import Gathering

LINE = (
    '{"time":"2026-01-01T00:00:%02dZ","client":"c","method":"GET","site":"s","url":"/%s",'
    '"status":%d,"bytes":%d,"cache":"%s"}\n'
)


def test_every_line_is_accounted_for() -> None:
    text = (
        LINE % (1, "a", 200, 10, "miss")
        + "\n"
        + LINE % (2, "a", 200, 10, "hit")
        + LINE % (3, "b", 404, 0, "miss")
        + LINE % (4, "c", 206, 5, "miss")
        + LINE % (5, "c", 206, 5, "miss")
        + "broken\n"
        + LINE % (6, "a", 304, 0, "")
    )
    gathering = Gathering()
    account = read([("first", io.BytesIO(text.encode()))], gathering)
    assert (account.lines, account.used, account.other, account.unreadable) == (7, 5, 1, 1)
    assert (account.judged, account.from_store) == (4, 1)
    assert (account.first, account.last) == ("2026-01-01T00:00:01Z", "2026-01-01T00:00:06Z")
    assert account.examples == ["first, line 7: it is neither JSON nor the combined format"]
    trace = gathering.trace()
    assert list(trace.numbers) == [0, 0, 1, 0]
    assert list(trace.bytes) == [10, 10, 10, 0]


def test_logs_are_read_one_after_the_other_and_damage_in_one_does_not_hide_the_next() -> None:
    line = (LINE % (1, "a", 200, 10, "miss")).encode()
    damaged = gzip.compress(line * 20_000)[:-10]
    gathering = Gathering()
    account = read([("one.gz", io.BytesIO(damaged)), ("two", io.BytesIO(line))], gathering)
    assert account.troubles == ["one.gz: the compressed log ends early; what came before counts"]
    assert account.used == len(gathering.trace().numbers) > 1


def test_few_examples_of_what_is_unreadable_are_kept() -> None:
    account = read([("x", io.BytesIO(b"x\n" * 1000 + b"y" * 100_000))], Gathering())
    assert (account.unreadable, len(account.examples)) == (1001, EXAMPLES_MAX)


def test_a_part_without_a_time_cannot_be_counted() -> None:
    line = (LINE % (1, "a", 206, 10, "miss")).replace("2026-01-01T00:00:01Z", "soon")
    account = read([("x", io.BytesIO(line.encode()))], Gathering())
    assert (account.unreadable, account.used) == (1, 0)
    assert account.examples == ["x, line 1: time 'soon' is no time"]
