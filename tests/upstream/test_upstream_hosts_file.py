"""The hosts file (hosts(5))."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.upstream.hosts_file import fixed, parse_hosts, read_hosts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("10.0.0.1 a b", {"a": ["10.0.0.1"], "b": ["10.0.0.1"]}),
        ("10.0.0.1\tA.Example # b", {"a.example": ["10.0.0.1"]}),
        ("#10.0.0.1 a", {}),
        ("10.0.0.1", {}),
        ("nonsense a\n10.0.0.2 a\r\n", {"a": ["10.0.0.2"]}),
        ("10.0.0.2 a\n::1 a\n10.0.0.2 a", {"a": ["10.0.0.2", "::1"]}),
        ("fe80::1%eth0 a", {"a": ["fe80::1"]}),
        ("10.0.0.256 a\n010.0.0.1 b", {}),
    ],
)
def test_a_file_is_read_as_a_table(text: str, found: dict[str, list[str]]) -> None:
    parsed = parse_hosts(text)
    assert {name: [str(a) for a in addresses] for name, addresses in parsed.items()} == found


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    for name, addresses in parse_hosts(text).items():
        assert name == name.lower()
        assert addresses


def test_a_file_is_read_from_the_disk_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    assert read_hosts(path) == {}
    path.write_bytes(b"10.0.0.1 a \xff\n")
    assert read_hosts(path)["a"] == (ipaddress.ip_address("10.0.0.1"),)


def test_the_file_comes_before_loopback_and_other_names_must_be_asked_for() -> None:
    own = parse_hosts("10.0.0.1 localhost a")
    assert fixed("a", own) == fixed("localhost", own) == (ipaddress.ip_address("10.0.0.1"),)
    for name in ("localhost", "x.localhost"):
        addresses = fixed(name, {})
        assert addresses is not None
        assert all(address.is_loopback for address in addresses)
    assert fixed("notlocalhost", {}) is None
    assert fixed("localhost.example", {}) is None
