"""The first message of TLS clients, read without a TLS library."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.serving.client_hello import HELLO_BYTES_MAX, ClientHello, NotTls, parse_client_hello


def hello(name: str | None = "node.example", protocols: tuple[str, ...] = (), most: str = "TLSv1_3") -> bytes:
    """What this machine's OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion[most]
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    body = data[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(data[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize(
    ("data", "understood"),
    [
        (hello(), ClientHello("node.example", 0x0304, None)),
        (hello("NODE.Example."), ClientHello("node.example", 0x0304, None)),
        (hello(None), ClientHello("", 0x0304, None)),
        (hello("127.0.0.1"), ClientHello("", 0x0304, None)),  # no name by RFC 6066
        (hello(protocols=("h2", "http/1.1")), ClientHello("node.example", 0x0304, ("h2", "http/1.1"))),
        (hello(most="TLSv1_2"), ClientHello("node.example", 0x0303, None)),
        (
            hello(most="TLSv1_2").replace(b"\x03\x03", b"\x03\x02", 1),
            ClientHello("node.example", 0x0302, None),
        ),
        (in_records(hello(), 7), ClientHello("node.example", 0x0304, None)),
        (hello() + b"what comes after", ClientHello("node.example", 0x0304, None)),
    ],
    ids=["usual", "case", "no name", "address", "alpn", "1.2", "1.1", "many records", "more"],
)
def test_name_version_and_protocols_are_read(data: bytes, understood: ClientHello) -> None:
    assert parse_client_hello(data) == understood


@pytest.mark.parametrize("data", [hello(), in_records(hello(protocols=("h2",)), 50)], ids=["one", "many"])
def test_any_part_of_it_is_waited_on(data: bytes) -> None:
    assert [end for end in range(len(data)) if parse_client_hello(data[:end]) is not None] == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"P",
        b"\x16\x02",
        b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02",  # ServerHello
        b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",  # a length beyond the bound
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",  # whole, and too short to be one
        b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xff" + bytes(HELLO_BYTES_MAX),  # all zeros
    ],
)
def test_what_is_no_client_hello_is_told_at_once(data: bytes) -> None:
    with pytest.raises(NotTls):
        parse_client_hello(data)


def test_a_name_that_no_host_has_counts_as_none() -> None:
    data = hello("node.example").replace(b"node.example", b"node/../exa.")
    assert parse_client_hello(data) == ClientHello("", 0x0304, None)


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_break_it(data: bytes, framed: bool) -> None:
    if framed:
        message = b"\x01" + len(data).to_bytes(3, "big") + data
        data = b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message
    try:
        found = parse_client_hello(data)
    except NotTls:
        return
    assert found is None or len(found.server_name) <= 253
