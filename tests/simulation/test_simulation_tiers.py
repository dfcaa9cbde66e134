"""What an object takes in a tier."""

from edgeproxy.simulation.tiers import DISK, NEVER, PLAIN, ram
from edgeproxy.simulation.trace import made

TRACE = made([(0, 0), (1, 4096), (2, 1 << 20), (3, (1 << 20) + 1)])


def test_in_ram_a_head_lies_beside_each_body_and_large_bodies_are_not_kept() -> None:
    assert list(ram(1 << 20).costs(TRACE)) == [3500, 7596, (1 << 20) + 3500, NEVER]


def test_on_disk_body_and_record_take_whole_blocks() -> None:
    assert list(DISK.costs(TRACE)) == [4096, 8192, (1 << 20) + 4096, (1 << 20) + 4096]


def test_bodies_alone_take_their_bytes() -> None:
    assert list(PLAIN.costs(TRACE)) == [0, 4096, 1 << 20, (1 << 20) + 1]
