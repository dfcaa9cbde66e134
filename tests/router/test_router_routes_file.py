from __future__ import annotations

import bz2
import gzip
import ipaddress
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeproxy.router.bgp_table import Route, UnusableRoutes
from edgeproxy.router.routes_file import read_routes

FOLDER = Path(__file__).parent / "data" / "bgp"


@pytest.mark.parametrize(
    ("name", "prefixes", "address", "route"),
    [
        ("rib4.mrt.bz2", 106, "1.0.4.9", Route("1.0.4.0/24", 56203, 3)),
        ("rib4.mrt.bz2", 106, "1.0.0.1", Route("1.0.0.0/24", 15169, 2)),
        ("rib4.mrt.bz2", 106, "200.0.0.1", None),
        ("rib6.mrt.bz2", 55, "2001:218::1", Route("2001:218::/32", 2914, 1)),
        ("ipasn.tsv", 400, "1.1.40.9", Route("1.1.40.0/24", 132537)),
    ],
)
def test_real_tables(name: str, prefixes: int, address: str, route: Route | None) -> None:
    table = read_routes(FOLDER / name)
    assert (table.prefixes, table.is_cut) == (prefixes, False)
    assert table.route(ipaddress.ip_address(address)) == route


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_packed_or_plain(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = tmp_path / "routes"
    file.write_bytes(pack((FOLDER / "ipasn.tsv").read_bytes()))
    assert read_routes(file).prefixes == 400


def test_a_table_whose_end_is_missing_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "cut.mrt"
    file.write_bytes(bz2.decompress((FOLDER / "rib4.mrt.bz2").read_bytes())[:100_000])
    table = read_routes(file)
    assert table.is_cut
    assert 0 < table.prefixes < 106


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"\x1f\x8bgarbage", b"BZhgarbage", b"\xfd7zXZ\x00garbage", b"\0" * 100, b"\xff\xfe\n",
     gzip.compress(b"10.0.0.0/8\t1\n")[:-4]],
    ids=range(8),
)  # fmt: skip
def test_other_files_are_refused_with_one_line(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "routes"
    file.write_bytes(data)
    with pytest.raises(UnusableRoutes) as caught:
        read_routes(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    file.write_bytes(gzip.compress(b"#" * 10_000_000))
    with pytest.raises(UnusableRoutes, match="too large"):
        read_routes(file, bytes_max=1_000_000)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableRoutes):
        read_routes(tmp_path / "absent")
