import dns.message
import pytest

from edgeproxy.router.dns_records import ASKED, Records, Sections, pack, parents, wire_name
from edgeproxy.router.dns_words import Rcode

NAME = b"\3www\3CDN\0"
A = Records(ASKED, 1, 30, (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))))
NS = Records(b"\3cdn\0", 2, 60, (b"\3ns1\3cdn\0",))
GLUE = Records(b"\3ns1\3cdn\0", 1, 60, (bytes((192, 0, 2, 53)),))


def test_packed_sections_fit_behind_any_question() -> None:
    packed = pack(Sections(answers=(A,), authority=(NS,), additional=(GLUE,)))
    assert packed.counts == (2, 1, 1)
    for name in (NAME, b"\1*\3cdn\0", b"\x01a" * 100 + b"\0"):
        header = b"\0\0\x84\0\0\1" + b"".join(count.to_bytes(2, "big") for count in packed.counts)
        answer = dns.message.from_wire(header + name + b"\0\1\0\1" + packed.records)
        assert answer.answer[0].name == answer.question[0].name
        assert [str(rdata) for rdata in answer.answer[0]] == ["192.0.2.1", "192.0.2.2"]
        assert str(answer.authority[0]) == "cdn. 60 IN NS ns1.cdn."
        assert str(answer.additional[0]) == "ns1.cdn. 60 IN A 192.0.2.53"


@pytest.mark.parametrize(
    ("sections", "is_positive"),
    [
        (Sections(answers=(A,)), True),
        (Sections(authority=(NS,)), False),
        (Sections(Rcode.NXDOMAIN, answers=(A,)), False),
    ],
)
def test_an_answer_is_positive_if_it_has_records_and_no_error(sections: Sections, is_positive: bool) -> None:
    assert pack(sections).is_positive is is_positive


def test_names_above_a_name_come_nearest_first() -> None:
    assert list(parents(b"\1a\2bc\1d\0")) == [b"\2bc\1d\0", b"\1d\0", b"\0"]
    assert list(parents(b"\0")) == []
    assert wire_name([b"a", b"bc"]) == b"\1a\2bc\0"
