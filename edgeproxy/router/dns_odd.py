"""Queries that are not of the plain form, read by dnspython: in order, to be refused, or no queries."""

from __future__ import annotations

import dns.edns
import dns.exception
import dns.message

from edgeproxy.router.dns_edns import Edns, Malformed, option, read_options
from edgeproxy.router.dns_query import Query
from edgeproxy.router.dns_words import HEADER_BYTES, OPCODE_MASK, QR, RD, Rcode


def read_odd(data: bytes) -> Query | Rcode | None:
    """The rcode where only the header can be answered; None where nothing should be: what has no header, and
    answers, lest two servers talk to each other for ever."""
    if len(data) < HEADER_BYTES or data[2] & (QR >> 8):
        return None
    if data[2] & (OPCODE_MASK >> 8):
        return Rcode.NOTIMP
    try:
        message = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        return Rcode.FORMERR
    if len(message.question) != 1:  # RFC 9619
        return Rcode.FORMERR
    asked = message.question[0]
    name = asked.name.to_wire() or b""
    question = name + asked.rdtype.to_bytes(2, "big") + asked.rdclass.to_bytes(2, "big")
    edns, fault = _edns(message)
    return Query(
        message.id, int(message.flags), question, name.lower(), asked.rdtype, asked.rdclass, edns, fault
    )


def _edns(message: dns.message.Message) -> tuple[Edns | None, int]:
    if message.edns < 0:
        return None, 0
    flags = message.ednsflags & 0xFFFF
    if message.edns > 0:
        return Edns(message.payload, flags), Rcode.BADVERS
    options = b"".join(option(one.otype, one.to_wire() or b"") for one in message.options)
    try:
        return read_options(message.payload, flags, options), 0
    except Malformed:
        return Edns(message.payload, flags), Rcode.FORMERR


def header_only(data: bytes, rcode: Rcode) -> bytes:
    """The answer to what has a header and nothing else that can be read."""
    flags = int.from_bytes(data[2:4], "big")
    told = QR | flags & (OPCODE_MASK | RD) | rcode
    return data[:2] + told.to_bytes(2, "big") + bytes(8)
