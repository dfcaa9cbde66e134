"""Records in wire form, and the sections of an answer packed so that they fit behind any question.

Only the name asked for is compressed, and always to the question's (its case goes along); so the packed
sections depend neither on the length of that name nor on how it was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from edgeproxy.router.dns_words import CLASS_IN, HEADER_BYTES, Rcode

ASKED = b""  # the owner that is the name asked for
TTL_MAX = 0x7FFFFFFF  # RFC 2181 section 8

_TO_QUESTION = (0xC000 | HEADER_BYTES).to_bytes(2, "big")
_FIXED = Struct("!HHIH")
_COUNTS = Struct("!HHH")


@dataclass(frozen=True, slots=True)
class Records:
    """One RRset. `owner` is a name in wire form or ASKED; `rdata` without compression; `ttl` in seconds."""

    owner: bytes
    rtype: int
    ttl: int
    rdata: tuple[bytes, ...]

    def packed(self) -> bytes:
        owner = self.owner or _TO_QUESTION
        return b"".join(
            owner + _FIXED.pack(self.rtype, CLASS_IN, self.ttl, len(one)) + one for one in self.rdata
        )


@dataclass(frozen=True, slots=True)
class Sections:
    """What an answer holds beside its question. `aa`: it is from authority."""

    rcode: Rcode = Rcode.NOERROR
    aa: bool = True
    answers: tuple[Records, ...] = ()
    authority: tuple[Records, ...] = ()
    additional: tuple[Records, ...] = ()

    @property
    def is_positive(self) -> bool:
        """Whether it says something of the name that may depend on the client."""
        return self.rcode is Rcode.NOERROR and bool(self.answers)


class Packed(NamedTuple):
    """Sections as bytes: `counts` of records in the three, and the records. `is_positive` as there."""

    rcode: int
    aa: bool
    counts: tuple[int, int, int]
    records: bytes
    is_positive: bool


def pack(sections: Sections) -> Packed:
    parts = (sections.answers, sections.authority, sections.additional)
    answers, authority, additional = (sum(len(one.rdata) for one in part) for part in parts)
    records = b"".join(one.packed() for part in parts for one in part)
    return Packed(
        sections.rcode, sections.aa, (answers, authority, additional), records, sections.is_positive
    )


def wire_name(labels: Iterable[bytes]) -> bytes:
    """A name from its labels, without that of the root."""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def parents(name: bytes) -> Iterable[bytes]:
    """The names above `name` (wire form), the nearest first, the root last."""
    at = 0
    while name[at]:
        at += name[at] + 1
        yield name[at:]
