"""A query as it comes: the header, one question, at most an OPT record, read without anything foreign.

Nearly every query has this form (RFC 1035 section 4.1, RFC 9619). What has another is left to `dns_slow`."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from edgeproxy.router.dns_edns import Edns, Malformed, read_options
from edgeproxy.router.dns_words import (
    HEADER_BYTES,
    NAME_BYTES_MAX,
    OPCODE_MASK,
    QR,
    TC,
    TYPE_OPT,
    Rcode,
)

_HEADER = Struct("!HHHHHH")
_TYPE_CLASS = Struct("!HH")
_OPT = Struct("!HHBBHH")  # type, size, extended rcode, version, flags, length of the options
_OPT_BYTES = 11  # the root's name and the above
_OPTS_KEPT = 4096


class Query(NamedTuple):
    """`question` is the whole question as it came, so that it goes back with the case it was asked in;
    `name` the same name in wire form and lower case. `fault`: what the OPT record has to be answered with,
    0 if it is in order."""

    id: int
    flags: int
    question: bytes
    name: bytes
    qtype: int
    qclass: int
    edns: Edns | None
    fault: int = 0


def read(data: bytes) -> Query | None:
    """None where the form is not the plain one; it may be in order all the same. `data` has a header."""
    if len(data) < HEADER_BYTES + 5:
        return None
    number, flags, questions, answers, authorities, others = _HEADER.unpack_from(data)
    if flags & (QR | OPCODE_MASK | TC) or questions != 1 or answers or authorities or others > 1:
        return None
    end = _name_end(data)
    if not end or len(data) < end + 4:
        return None
    qtype, qclass = _TYPE_CLASS.unpack_from(data, end)
    question = data[HEADER_BYTES : end + 4]
    name = data[HEADER_BYTES:end].lower()  # lengths are below 64, so no letter is one
    rest = data[end + 4 :]
    if not others:
        return Query(number, flags, question, name, qtype, qclass, None) if not rest else None
    opt = _read_opt(rest)
    return None if opt is None else Query(number, flags, question, name, qtype, qclass, *opt)


def _name_end(data: bytes) -> int:
    """Where the name of the question ends; 0 if it is none, or a compressed one."""
    at, size = HEADER_BYTES, len(data)
    while at < size:
        length = data[at]
        if length == 0:
            return at + 1 if at + 1 - HEADER_BYTES <= NAME_BYTES_MAX else 0
        if length > 63:
            return 0
        at += length + 1
    return 0


@lru_cache(_OPTS_KEPT)
def _read_opt(rest: bytes) -> tuple[Edns | None, int] | None:
    """The one record behind the question and the rcode it deserves; None if it is something else. What is
    seen again and again (a resolver's options, a client network's) is read once."""
    if len(rest) < _OPT_BYTES or rest[0]:
        return None
    rtype, size, _, version, flags, length = _OPT.unpack_from(rest, 1)
    if rtype != TYPE_OPT or len(rest) != _OPT_BYTES + length:
        return None
    if version:  # RFC 6891 section 6.1.3: nothing of what follows is known
        return Edns(size, flags), Rcode.BADVERS
    try:
        return read_options(size, flags, rest[_OPT_BYTES:]), 0
    except Malformed:
        return Edns(size, flags), Rcode.FORMERR
