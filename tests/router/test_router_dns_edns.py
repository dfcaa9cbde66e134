import dns.edns
import dns.exception
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.dns_edns import Malformed, Subnet, option, read_options, read_subnet


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("00011800514509", ("4", 24, 0x51450900)),
        ("0001200051450901", ("4", 32, 0x51450901)),
        ("00010000", ("4", 0, 0)),
        ("00020000", ("6", 0, 0)),
        ("00000000", ("0", 0, 0)),
        ("0002380020010db8000001", ("6", 56, 0x20010DB8000001 << 72)),
        ("000109005180", ("4", 9, 0x51800000)),
    ],
)
def test_a_client_subnet_is_read(content: str, told: tuple[str, int, int]) -> None:
    if content.startswith("0001180051"):
        content = "00011800" + "514509"
    found = read_subnet(bytes.fromhex(content))
    assert (str(found.version), found.bits, found.number) == told


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "cut short"),
        ("000118", "cut short"),
        ("00031800514509", "family"),
        ("0000080051", "family"),
        ("000121005145090101", "agree"),
        ("00028100" + "20" * 17, "agree"),
        ("0001180051450900", "agree"),
        ("000118005145", "agree"),
        ("00011818514509", "agree"),
        ("00011700514509", "beyond"),
        ("00020100c0", "beyond"),
    ],
)
def test_a_wrong_client_subnet_is_refused_with_a_reason(content: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_subnet(bytes.fromhex(content))


@given(st.binary(max_size=24))
def test_client_subnets_are_taken_where_another_reader_takes_them(content: bytes) -> None:
    """dnspython reads the same; it does not mind a scope in a question, and wants a family."""
    try:
        ours: Subnet | None = read_subnet(content)
    except Malformed:
        ours = None
    try:
        theirs = dns.edns.option_from_wire(8, content, 0, len(content))
    except (dns.exception.DNSException, ValueError):
        theirs = None
    if ours is not None and ours.version:
        assert isinstance(theirs, dns.edns.ECSOption)
        assert ours.option(0)[4:] == theirs.to_wire()
    elif theirs is not None:
        assert isinstance(theirs, dns.edns.ECSOption)
        assert (
            theirs.scopelen
            or theirs.srclen > (32 if theirs.family == 1 else 128)
            or _has_more(theirs, content)
        )


def _has_more(read: dns.edns.ECSOption, content: bytes) -> bool:
    return len(content) - 4 != (read.srclen + 7) // 8 or read.to_wire() != content


def test_options_are_read_and_what_is_unknown_is_passed_over() -> None:
    data = (
        option(12, bytes(7)) + option(10, b"12345678") + option(3, b"") + option(8, bytes.fromhex("00010000"))
    )
    found = read_options(4096, 0x8000, data)
    assert (found.size, found.flags, found.cookie, found.wants_nsid) == (4096, 0x8000, b"12345678", True)
    assert found.subnet == Subnet(4, 0, 0, b"")


@pytest.mark.parametrize("length", [0, 7, 9, 15, 41])
def test_no_cookie_has_this_length(length: int) -> None:
    with pytest.raises(Malformed):
        read_options(512, 0, option(10, bytes(length)))


@pytest.mark.parametrize("data", [b"\0", b"\0\x0c\0", b"\0\x0c\0\x05abcd"])
def test_options_that_end_early_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_options(512, 0, data)


def test_two_client_subnets_are_one_too_many_and_of_two_cookies_the_first_counts() -> None:
    with pytest.raises(Malformed):
        read_options(512, 0, option(8, bytes.fromhex("00010000")) * 2)
    found = read_options(512, 0, option(10, b"a" * 8) + option(10, b"b" * 8))
    assert found.cookie == b"a" * 8
