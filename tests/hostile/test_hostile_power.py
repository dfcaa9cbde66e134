"""A disk that dies under a running node, and a machine that loses power.

Both are made with a file system of our own in a file: the EXT4 shutdown operation stops it without a flush
of its log, after which every operation fails; killed, unmounted and mounted again it is what a power cut
leaves: files that were not synced are short, empty or gone."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stands.node import Node, eventually
from stands.origin import Origin
from test_hostile_disk import ON_DISK, all_right, publish, site

StartNode = Callable[..., Node]
EXT4_SHUTDOWN = 0x8004587D
WITHOUT_LOG_FLUSH = 2


class Disk:
    """An ext4 file system of 128 MiB in a file."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "disk.img", folder / "disk"
        self.place.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(128 << 20)
        self._run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def _run(self, *command: str) -> None:
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no file system to break here: {command[0]}: {error}")

    def mount(self) -> None:
        self._run("mount", "-o", "loop", str(self.image), str(self.place))

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=False, capture_output=True)

    def die(self) -> None:
        """From now on every operation fails, and what was not synced is lost."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        except OSError as error:
            pytest.skip(f"this kernel cannot shut a file system down: {error}")
        finally:
            os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    made = Disk(tmp_path)
    yield made
    made.unmount()


def test_a_disk_that_dies_costs_hits_and_nothing_else(
    start_node: StartNode, origin: Origin, disk: Disk
) -> None:
    bodies = publish(origin)
    node = start_node(site(origin), {"cache": {**ON_DISK, "directory": disk.place / "cache"}})
    all_right(node, bodies)
    disk.die()
    for _ in range(3):
        all_right(node, bodies)
    fresh = {f"/new/{n}": origin.put(f"/new/{n}", 200_000) for n in range(10)}
    all_right(node, fresh)
    assert eventually(lambda: node.status()["store"]["disk_state"] != "ok")


@pytest.mark.slow
@pytest.mark.parametrize("sync", [False, True])
def test_power_loss_leaves_right_bytes_or_misses(
    start_node: StartNode, origin: Origin, disk: Disk, sync: bool
) -> None:
    bodies = publish(origin, 16)
    cache = {**ON_DISK, "directory": disk.place / "cache", "sync": sync}
    node = start_node(site(origin), {"cache": cache})
    for _ in range(5):
        all_right(node, bodies)
        disk.die()
        node.kill()
        disk.unmount()
        disk.mount()
        node.restart()
        assert node.cpu_seconds() < 2.0, "it looked at more than it must"
        all_right(node, bodies)
        node.purge("all")
