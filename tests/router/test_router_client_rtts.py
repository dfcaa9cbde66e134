from __future__ import annotations

from typing import Any

import pytest

from edgeproxy.router.announcement import RoundTrip
from edgeproxy.router.client_rtts import KNOWN_MAX, SAMPLES_MAX, ClientRtts


def rtts(**options: Any) -> ClientRtts:
    """Reads the round trip from what is given in place of a socket."""
    return ClientRtts(read=lambda rtt: rtt, **options)  # type: ignore[arg-type, return-value]


def ended(found: ClientRtts, peer: str, *samples: float | None) -> list[RoundTrip]:
    for sample in samples:
        found.ended(peer, sample)  # type: ignore[arg-type]
    return found.taken()


@pytest.mark.parametrize(
    ("peer", "prefix"),
    [
        ("8.8.8.8", "8.8.8.0/24"),
        ("::ffff:8.8.8.8", "8.8.8.0/24"),
        ("64:ff9b::808:808", "8.8.8.0/24"),
        ("2a00:1450:4001:82b::200e", "2a00:1450:4001::/48"),
        ("2a00:1450:4001:82b::200e%eth0", "2a00:1450:4001::/48"),
        ("10.1.2.3", ""),
        ("127.0.0.1", ""),
        ("100.64.1.1", ""),
        ("fe80::1", ""),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_connections_are_gathered_by_prefix(peer: str, prefix: str) -> None:
    assert [one.prefix for one in ended(rtts(), peer, 5.0)] == ([prefix] if prefix else [])


def test_private_addresses_are_measured_where_they_are_mapped() -> None:
    assert ended(rtts(all_addresses=True), "10.1.2.3", 5.0) == [RoundTrip("10.1.2.0/24", 5.0, 1)]


def test_the_middle_stands_for_a_prefix_with_its_weight() -> None:
    assert ended(rtts(), "8.8.8.8", 10.0, 300.0, 11.0, 12.0, 9.0) == [RoundTrip("8.8.8.0/24", 11.0, 5)]


def test_what_was_told_is_not_told_again() -> None:
    found = rtts()
    assert ended(found, "8.8.8.8", 5.0)
    assert found.taken() == []


def test_no_sample_is_no_zero() -> None:
    assert ended(rtts(), "8.8.8.8", None, 0.0, 1e9) == []


def test_everything_is_bounded() -> None:
    found = rtts(prefixes_max=10)
    for number in range(2 * KNOWN_MAX):
        found.ended(f"8.{number >> 8}.{number & 255}.1", 5.0)  # type: ignore[arg-type]
    assert len(found) == 10
    for _ in range(10 * SAMPLES_MAX):
        found.ended("8.0.0.1", 5.0)  # type: ignore[arg-type]
    assert found.taken()[0] == RoundTrip("8.0.0.0/24", 5.0, 10 * SAMPLES_MAX + 1)


def test_what_other_processes_have_taken_counts_as_many_connections() -> None:
    found, servers = rtts(), [rtts(), rtts()]
    for peer, rtt in (("8.8.8.8", 10.0), ("8.8.4.4", 30.0)):
        servers[0].ended(peer, rtt)  # type: ignore[arg-type]
    for _ in range(3):
        servers[1].ended("8.8.8.9", 12.0)  # type: ignore[arg-type]
    for server in servers:
        found.heard(server.taken())
    assert found.taken() == [RoundTrip("8.8.8.0/24", 12.0, 4), RoundTrip("8.8.4.0/24", 30.0, 1)]
    assert found.taken() == []


def test_what_other_processes_tell_is_bounded() -> None:
    found = rtts(prefixes_max=2)
    found.heard([RoundTrip(f"8.8.{number}.0/24", 10.0, 1000) for number in range(5)])
    found.heard([RoundTrip("8.8.0.0/24", 20.0, 1000)])
    assert found.taken() == [RoundTrip("8.8.0.0/24", 10.0, 2000), RoundTrip("8.8.1.0/24", 10.0, 1000)]
