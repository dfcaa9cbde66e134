import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.address import Address, answers_at, is_ip, is_loopback, parse_address, parse_name_server


@pytest.mark.parametrize(
    ("text", "address", "local"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("127.8.9.10:0", Address("127.8.9.10", 0), True),
        ("localhost:80", Address("localhost", 80), True),
        ("[::1]:8080", Address("::1", 8080), True),
        ("unix:/run/edge.sock", Address(path="/run/edge.sock"), True),
        ("0.0.0.0:8080", Address("0.0.0.0", 8080), False),
        ("[::]:65535", Address("::", 65535), False),
        ("edge-1.example:8080", Address("edge-1.example", 8080), False),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address, local: bool) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert address.is_local is local


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "host", "host:", "host:port", "host:65536", "host:٣", "host:-1", "::1:80",
     "[host]:80", "[127.0.0.1]:80", "host:80\n", " host:80", "unix:", "a b:80", "http://host:80"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


@given(st.text(max_size=40))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address


def test_a_wildcard_stands_for_every_address() -> None:
    assert parse_address("0.0.0.0:1").is_wildcard
    assert parse_address("[::]:1").is_wildcard
    assert not parse_address("127.0.0.1:1").is_wildcard
    assert not parse_address("localhost:1").is_wildcard


def test_names_are_not_literal_addresses() -> None:
    assert is_ip("10.0.0.1")
    assert is_ip("::1")
    assert not is_ip("edge")
    assert not is_loopback("localhost.example")


@pytest.mark.parametrize(
    ("listened", "host", "port", "expected"),
    [
        (["127.0.0.1:8080"], "127.0.0.1", 8080, True),
        (["127.0.0.1:8080"], "localhost", 8080, True),
        (["127.0.0.1:8080"], "127.0.0.1", 8081, False),
        (["0.0.0.0:8080"], "127.0.0.1", 8080, True),
        (["unix:/run/x", "[::]:80"], "::1", 80, True),
        (["10.0.0.5:8080"], "10.0.0.5", 8080, True),
        (["10.0.0.5:8080"], "127.0.0.1", 8080, False),
        (["0.0.0.0:8080"], "cache.example", 8080, False),
        ([], "127.0.0.1", 8080, False),
    ],
)
def test_a_node_knows_its_own_addresses(listened: list[str], host: str, port: int, expected: bool) -> None:
    assert answers_at(listened, host, port) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
    ],
)
def test_a_name_server_is_an_address_with_or_without_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_name_server(text) == expected


@pytest.mark.parametrize(
    "text", ["", "ns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1]:x"]
)
def test_a_name_server_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match='is not "address"'):
        parse_name_server(text)
