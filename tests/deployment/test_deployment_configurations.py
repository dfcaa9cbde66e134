"""The configurations that operators begin with are right, and those of a parent and an edge fit together."""

import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import commands
from edgeproxy.config import Config
from edgeproxy.configuration.source import load
from edgeproxy.serving.self_signed import make


@pytest.fixture
def place(tmp_path: Path, configs: Path) -> Path:
    """A folder with the configurations and the files that they name."""
    for name in ("parent.toml", "edge-with-parent.toml"):
        shutil.copy(configs / name, tmp_path)
    (tmp_path / "node.token").write_text("secret\n")
    (tmp_path / "tls").mkdir()
    key, certificate = make(["parent-0.example"], time.time())
    (tmp_path / "tls" / "tls.key").write_bytes(key)
    (tmp_path / "tls" / "tls.crt").write_bytes(certificate)
    return tmp_path


@pytest.mark.parametrize("name", ["parent.toml", "edge-with-parent.toml"])
def test_a_configuration_passes_the_check(place: Path, name: str) -> None:
    done = CliRunner().invoke(commands, ["check", "--config", str(place / name)])
    assert done.exit_code == 0, done.output
    assert f"{name}: ok" in done.output


def both(place: Path) -> tuple[Config, Config]:
    environment = {"EDGEPROXY_LISTEN_NODE_TOKENS": "secret"}
    return load(place / "parent.toml", [], environment), load(place / "edge-with-parent.toml", [], {})


def test_a_parent_serves_the_sites_for_which_its_edges_ask_it(place: Path) -> None:
    parent, edge = both(place)
    assert {(site.name, site.kind) for site in parent.site} == {(site.name, site.kind) for site in edge.site}
    assert all(one.sites == ["*"] for one in edge.parent)


def test_an_edge_asks_its_parents_where_and_how_they_listen(place: Path) -> None:
    parent, edge = both(place)
    (address,) = parent.listen.https
    assert all(one.url.startswith("https://") for one in edge.parent)
    assert {one.url.rpartition(":")[2] for one in edge.parent} == {address.rpartition(":")[2]}
    assert parent.listen.node_tokens == ["secret"]


def test_no_secret_stands_in_a_file(configs: Path) -> None:
    for name in ("parent.toml", "edge-with-parent.toml"):
        lines = [line for line in (configs / name).read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if line.split("=")[0].strip() in ("token", "node_tokens")]
