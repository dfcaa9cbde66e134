"""Rules for the firewall, as text and as nft reads them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from edgeproxy.proxy.firewall import Turning, printed, removal, routes, script, without_routes


def test_what_comes_in_is_turned_and_what_is_for_this_machine_is_not() -> None:
    text = script(Turning(3129))
    assert "tcp dport { 80, 443 } redirect to :3129" in text
    assert text.index("fib daddr type") < text.index("redirect")
    assert "output" not in text
    assert text.startswith(removal())


def test_the_node_is_left_out_where_this_machine_is_turned_too() -> None:
    text = script(Turning(3129, (443,), ("eth0", "wlan0"), "edgeproxy"))
    assert 'iifname { "eth0", "wlan0" } tcp dport { 443 } redirect to :3129' in text
    output = text[text.index("chain output") :]
    assert output.index('meta skuid "edgeproxy" return') < output.index("redirect")


def test_tproxy_takes_the_first_packet_and_keeps_its_connections() -> None:
    text = script(Turning(3129, (443,), ("eth0",), way="tproxy", families=("ipv4",)))
    kept = text.index("socket transparent 1 socket wildcard 0 meta mark set 0x6564 accept")
    assert kept < text.index("fib daddr type") < text.index("tproxy ip to :3129 meta mark set 0x6564")
    assert 'iifname { "eth0" } meta nfproto ipv4 tcp dport { 443 }' in text
    assert "ip6" not in text
    assert "output" not in text


def test_with_tproxy_this_machines_own_packets_come_in_by_their_mark() -> None:
    text = script(Turning(3129, (443,), ("eth0",), "edgeproxy", "tproxy"))
    assert "iif lo meta mark 0x6564 meta nfproto ipv6 tcp dport { 443 } tproxy ip6 to :3129" in text
    output = text[text.index("chain output") :]
    assert output.index('meta skuid "edgeproxy" return') < output.index("meta mark set")


def test_routes_for_tproxy_are_those_that_are_taken_away() -> None:
    assert routes(Turning(3129)) == []
    turning = Turning(3129, way="tproxy", families=("ipv6",))
    route, rule = (" ".join(command) for command in routes(turning))
    assert route == "ip -6 route replace local default dev lo table 25956"
    assert rule == "ip -6 rule add fwmark 0x6564 lookup 25956 priority 6564"
    undone = [" ".join(command) for command in without_routes()]
    assert {"ip -6 rule del priority 6564", "ip -6 route flush table 25956"} <= {*undone}
    assert f"# {route}\n# {rule}\n" in printed(turning)


@pytest.mark.parametrize(
    "turning",
    [
        Turning(3129),
        Turning(3129, (443, 80), ('e"th0',), "0"),
        Turning(1, (1, 65535), (), "root", families=("ipv6",)),
        Turning(3129, way="tproxy"),
        Turning(3129, (443,), ("lo", "eth0"), "root", "tproxy", ("ipv4",)),
    ],
)
def test_nft_takes_it(turning: Turning) -> None:
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs nft, and root")
    for text in (printed(turning), removal()):
        done = subprocess.run(
            [program, "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
