"""Logs to a trace, and an account of what was read and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from edgeproxy.simulation import log_line
from edgeproxy.simulation.log_file import LINE_BYTES_MAX, DamagedLog, lines
from edgeproxy.simulation.log_line import UnreadableLine
from edgeproxy.simulation.trace import Gathering, key_number

EXAMPLES_MAX = 5


@dataclass(slots=True)
class Account:
    """Lines by what they were: `used`, `other` (readable, but nothing for a cache) and `unreadable`, of which
    `examples` are the first. `from_store` of the `judged` lines were answered from the store, says the log.
    `first` and `last` are the times of lines used, as the log writes them. `troubles` are logs that could not
    be read to their end."""

    lines: int = 0
    used: int = 0
    other: int = 0
    unreadable: int = 0
    judged: int = 0
    from_store: int = 0
    first: str = ""
    last: str = ""
    examples: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def read(logs: Sequence[tuple[str, IO[bytes]]], gathering: Gathering) -> Account:
    """Every line of the logs, in their order, each with its name. Never raises for what a log holds."""
    account = Account()
    for name, stream in logs:
        try:
            for number, line in enumerate(lines(stream), 1):
                if line != b"":
                    _take(line, f"{name}, line {number}", gathering, account)
        except DamagedLog as error:
            account.troubles.append(f"{name}: {error}; what came before counts")
    return account


def _take(line: bytes | None, place: str, gathering: Gathering, account: Account) -> None:
    account.lines += 1
    try:
        if line is None:
            raise UnreadableLine(f"it is longer than {LINE_BYTES_MAX} bytes")
        asked = log_line.read(line)
        if asked is not None and asked.is_part:
            _take_part(asked, gathering)
        elif asked is not None:
            gathering.add(key_number(asked.key), asked.bytes)
    except UnreadableLine as error:
        account.unreadable += 1
        if len(account.examples) < EXAMPLES_MAX:
            account.examples.append(f"{place}: {error}")
        return
    if asked is None:
        account.other += 1
        return
    account.used += 1
    account.last = asked.time
    account.first = account.first or asked.time
    if asked.is_from_store is not None:
        account.judged += 1
        account.from_store += asked.is_from_store


def _take_part(asked: log_line.Asked, gathering: Gathering) -> None:
    at = log_line.seconds(asked.time)
    if at is None:
        raise UnreadableLine(f"time {asked.time[:40]!r} is no time")
    gathering.add_part(key_number(asked.key), asked.bytes, asked.client, at)
