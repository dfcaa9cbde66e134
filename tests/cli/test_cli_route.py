from pathlib import Path
from typing import Any


def test_a_router_without_nodes_does_not_start(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('[admin]\nlisten = ""\n[listen]\nhttp = ["127.0.0.1:0"]\n')
    ended = run("route", "--config", str(file))
    assert (ended.code, "router.node: a router needs nodes" in ended.err) == (2, True)


def test_a_configuration_that_cannot_be_used_is_told_by_its_key(run: Any) -> None:
    ended = run("route", "--set", "router.redirect_above=much")
    assert (ended.code, "router.redirect_above" in ended.err) == (2, True)
