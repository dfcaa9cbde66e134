"""Ports that stay ours."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stands.ports import reserve


def test_each_is_another_and_none_is_one_that_the_kernel_chooses() -> None:
    ports = [reserve() for _ in range(20)]
    assert len(set(ports)) == 20
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        pytest.skip("what the kernel chooses is not told here")
    assert lowest < 32_768 or max(ports) < lowest


def test_one_where_somebody_listens_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("stands.ports._ports", iter([port, reserve()]))
        assert reserve() != port
