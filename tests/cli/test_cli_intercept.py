"""Rules for the firewall by command; what they do is for test_journey_transparent."""

from __future__ import annotations

from typing import Any

import pytest


def test_rules_are_printed_for_this_configuration(run: Any) -> None:
    told = run("intercept", "print", "--set", "listen.transparent=0.0.0.0:3129", "--set", "proxy.ports=443")
    assert told.code == 0
    assert "tcp dport { 443 } redirect to :3129" in told.out
    told = run(
        "intercept",
        "print",
        "--set",
        "listen.transparent=0.0.0.0:3129",
        "--interface",
        "eth0",
        "--local-except",
        "ep",
    )
    assert 'iifname { "eth0" }' in told.out
    assert 'meta skuid "ep" return' in told.out
    told = run("intercept", "print", "--by", "tproxy", "--set", 'listen.transparent=["[::]:3129"]')
    assert "# ip -6 rule add fwmark" in told.out
    assert ("tproxy ip6 to :3129" in told.out, "tproxy ip to" in told.out) == (True, False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [((), "names no port"), (("listen.transparent=127.0.0.1:3129",), 'listen at "0.0.0.0:3129"')],
)
def test_a_listener_nothing_could_be_turned_to_is_refused(
    run: Any, settings: tuple[str, ...], said: str
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    told = run("intercept", "print", *options)
    assert told.code == 2
    assert said in told.err


def test_without_nft_or_root_a_line_says_so(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert "nftables" in run("intercept", "remove").err
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/sbin/nft")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    told = run("intercept", "apply", "--set", "listen.transparent=0.0.0.0:3129")
    assert (told.code, "only root" in told.err) == (1, True)
