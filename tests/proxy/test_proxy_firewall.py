"""Rules for the firewall, as text and as nft reads them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from edgeproxy.proxy.firewall import Turning, removal, script


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


@pytest.mark.parametrize(
    "turning", [Turning(3129), Turning(3129, (443, 80), ('e"th0',), "0"), Turning(1, (1, 65535), (), "root")]
)
def test_nft_takes_it(turning: Turning) -> None:
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs nft, and root")
    for text in (script(turning), removal()):
        done = subprocess.run(
            [program, "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
