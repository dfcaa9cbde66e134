"""Where trusted roots are found."""

import os
from pathlib import Path

import pytest

from edgeproxy.upstream.trust import ca_bundle


def test_the_configured_file_comes_before_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    assert ca_bundle("/configured.pem") == "/configured.pem"


def test_the_environment_comes_before_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    path.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert ca_bundle("") == str(path)


def test_a_file_that_is_not_there_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    monkeypatch.setenv("SSL_CERT_FILE", missing)
    found = ca_bundle("")
    assert found != missing
    assert os.path.isfile(found)
