from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeproxy.errors import ConfigurationError
from edgeproxy.sites import pip_configuration


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which only files below tmp_path (and /etc/pip.conf) can be found."""
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
        "VIRTUAL_ENV": str(tmp_path / "venv"),
    }


def test_the_environment_wins_over_files(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://file.example/simple\n")
    environment |= {"PIP_INDEX_URL": "https://env.example/simple", "PIP_CERT": "/roots.pem"}
    found = pip_configuration.read(environment)
    assert found == pip_configuration.PipConfiguration("https://env.example/simple", "/roots.pem")


def test_what_leads_back_to_the_node_is_passed_over(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://file.example/simple\n")
    environment["PIP_INDEX_URL"] = "http://127.0.0.1:8080/pypi/simple/"
    found = pip_configuration.read(environment, lambda url: "127.0.0.1:8080" in url)
    assert found.index_url == "https://file.example/simple"
    nothing_left = pip_configuration.read(environment, lambda url: True)
    assert nothing_left.index_url == pip_configuration.default_index()


def test_files_override_each_other_in_the_order_of_pip(environment: dict[str, str], tmp_path: Path) -> None:
    order = ["xdg/pip/pip.conf", ".pip/pip.conf", ".config/pip/pip.conf", "venv/pip.conf", "named.conf"]
    environment["PIP_CONFIG_FILE"] = str(tmp_path / "named.conf")
    (tmp_path / "named.conf").write_text("[global]\n")
    for number, name in enumerate(order):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[global]\nindex_url = https://n{number}.example/simple\n")
        assert pip_configuration.read(environment).index_url == f"https://n{number}.example/simple"


def test_install_overrides_global_whatever_the_file(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "xdg/pip").mkdir(parents=True)
    (tmp_path / "xdg/pip/pip.conf").write_text("[install]\nindex-url = https://install.example/simple\n")
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://global.example/simple\n")
    assert pip_configuration.read(environment).index_url == "https://install.example/simple"


def test_no_file_is_read_when_pip_is_told_so(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://file.example/simple\n")
    environment["PIP_CONFIG_FILE"] = os.devnull
    assert pip_configuration.file_settings(environment) == {}


def test_a_broken_file_is_a_configuration_error(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".config/pip/pip.conf").write_text("index-url\n")
    with pytest.raises(ConfigurationError):
        pip_configuration.read(environment)


def test_pips_default_is_read_from_its_source() -> None:
    source = (
        'class PackageIndex: ...\nPyPI = PackageIndex("https://index.example/", file_storage_domain="f")\n'
    )
    assert pip_configuration.index_in_source(source) == "https://index.example/simple/"
    assert pip_configuration.index_in_source("PyPI = 1\n") == ""
    assert pip_configuration.index_in_source("def (\n") == ""


def test_without_configuration_the_pip_of_this_machine_tells() -> None:
    assert pip_configuration.default_index().endswith("/simple/")


def test_nothing_found_tells_what_to_set(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pip_configuration, "default_index", lambda: "")
    environment["PIP_CONFIG_FILE"] = os.devnull
    with pytest.raises(ConfigurationError, match="set it"):
        pip_configuration.read(environment)
