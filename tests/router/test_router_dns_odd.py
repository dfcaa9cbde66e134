from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.router.dns_odd import header_only, read_odd
from edgeproxy.router.dns_query import Query
from edgeproxy.router.dns_words import Rcode

PLAIN = dns.message.make_query("www.cdn.example", "A", use_edns=0, id=4711)


def test_a_query_with_records_behind_it_is_read() -> None:
    query = dns.message.make_query("www.cdn.example", "A")
    query.additional.append(dns.rrset.from_text("x.example.", 1, "IN", "A", "192.0.2.1"))
    found = read_odd(query.to_wire())
    assert isinstance(found, Query)
    assert found.name == b"\3www\3cdn\7example\0"


def test_a_compressed_question_is_written_out() -> None:
    whole = PLAIN.to_wire()[:12].replace(b"\0\1\0\0\0\0\0\1", b"\0\1\0\0\0\0\0\0")
    data = whole[:5] + b"\1" + whole[6:12] + b"\1a\xc0\x05" + b"\0\1\0\1"
    found = read_odd(data)
    assert not isinstance(found, Query) or found.question.endswith(b"\0\0\1\0\1")


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", None),
        (b"\0" * 11, None),
        (b"\x16\x03\x01" + b"\xff" * 40, Rcode.FORMERR),
        (bytes(12), Rcode.FORMERR),
        (PLAIN.to_wire() + b"junk", Rcode.FORMERR),
        (b"\0\0\x28" + bytes(9), Rcode.NOTIMP),
        (b"\0\0\x80" + bytes(9), None),
        (b"\0\0\xa8" + bytes(9), None),
    ],
)
def test_what_cannot_be_read_gets_what_it_deserves(data: bytes, answer: Rcode | None) -> None:
    assert read_odd(data) is answer


@settings(max_examples=400)
@given(
    st.binary(max_size=80)
    | st.binary(min_size=12, max_size=60).map(lambda tail: b"ab\1\0\0\1\0\0\0\0\0\1" + tail)
)
def test_no_bytes_raise_anything(data: bytes) -> None:
    found: Any = read_odd(data)
    assert found is None or isinstance(found, Query | Rcode)


def test_an_answer_of_only_a_header_keeps_id_opcode_and_what_was_desired() -> None:
    query = dns.message.make_query("www.cdn.example", "A", id=4711)
    answer = dns.message.from_wire(header_only(query.to_wire(), Rcode.FORMERR))
    assert (answer.id, answer.rcode(), answer.question) == (4711, 1, [])
    assert answer.flags & (dns.flags.QR | dns.flags.RD) == dns.flags.QR | dns.flags.RD
