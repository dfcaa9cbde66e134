"""Three machines in network namespaces of their own: clients, a gateway with the node, and the world."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
CLIENT, GATEWAY, WORLD = "198.51.100.2", "198.51.100.1", "203.0.113.10"
CLIENT6, GATEWAY6, WORLD6 = "2001:db8:1::2", "2001:db8:1::1", "2001:db8:2::10"


class Network:
    """Needs root, ip and nft; the test is skipped by name where one is missing. `hosts` are names and
    addresses every machine knows."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        for program in ("ip", "nft"):
            if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
                pytest.skip(f"{program} is not installed")
        if os.geteuid() != 0:
            pytest.skip("network namespaces take root")
        mark = f"ep{os.getpid()}"
        self.client, self.gateway, self.world = (f"{mark}{name}" for name in ("c", "g", "w"))
        lines = "".join(f"{address} {name}\n" for name, address in hosts.items())
        try:
            self._make(f"127.0.0.1 localhost\n::1 localhost\n{lines}")
        except subprocess.CalledProcessError as error:
            self.remove()
            pytest.skip(f"no network namespaces here: {error.stderr}")

    def _make(self, hosts: str) -> None:
        for name in (self.client, self.gateway, self.world):
            _ip("netns", "add", name)
            place = Path("/etc/netns") / name
            place.mkdir(parents=True, exist_ok=True)
            (place / "hosts").write_text(hosts)
            (place / "resolv.conf").write_text("nameserver 127.0.0.1\n")
            _ip("-n", name, "link", "set", "lo", "up")
        self._join(self.client, (CLIENT, CLIENT6), self.gateway, (GATEWAY, GATEWAY6))
        self._join(self.world, (WORLD, WORLD6), self.gateway, ("203.0.113.1", "2001:db8:2::1"))
        for name, four, six in (
            (self.client, GATEWAY, GATEWAY6),
            (self.world, "203.0.113.1", "2001:db8:2::1"),
        ):
            _ip("-n", name, "route", "add", "default", "via", four)
            _ip("-n", name, "-6", "route", "add", "default", "via", six)
        for key in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            self.run(self.gateway, "sysctl", "-qw", key)

    def _join(self, one: str, its: tuple[str, str], other: str, others: tuple[str, str]) -> None:
        near, far = f"{one[-9:]}a", f"{one[-9:]}b"
        _ip("link", "add", near, "netns", one, "type", "veth", "peer", "name", far, "netns", other)
        for name, device, (four, six) in ((one, near, its), (other, far, others)):
            _ip("-n", name, "addr", "add", f"{four}/24", "dev", device)
            _ip("-n", name, "addr", "add", f"{six}/64", "dev", device, "nodad")
            _ip("-n", name, "link", "set", device, "up")

    def run(self, machine: str, *command: str, **options: object) -> subprocess.CompletedProcess[str]:
        """On one of the machines; raises CalledProcessError."""
        return subprocess.run(
            self.command(machine, *command), capture_output=True, text=True, timeout=100, check=True
        )

    @staticmethod
    def command(machine: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", machine, *command]

    def inside(self, machine: str, work: Callable[[], T]) -> T:
        """What `work` makes in a thread that is on the machine: sockets stay there."""
        made: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                with open(f"/run/netns/{machine}", "rb") as place:
                    _setns(place.fileno())
                made.append(work())
            except BaseException as error:  # noqa: BLE001 - told to who asked
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]

    def listening(self, machine: str, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return self.inside(machine, lambda: socket.create_server((address, port), family=family))

    def remove(self) -> None:
        for name in (self.client, self.gateway, self.world):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=True)


def _setns(descriptor: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")
