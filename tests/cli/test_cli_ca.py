"""The local authority by command."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509


@pytest.fixture
def ca(run: Any, tmp_path: Path) -> Any:
    """Run `edgeproxy ca`, for an authority of this test's own."""
    return lambda *arguments: run("ca", *arguments, "--set", f"proxy.ca={tmp_path / 'ca'}")


def test_it_is_made_once_shown_and_exported(ca: Any, tmp_path: Path) -> None:
    assert "edgeproxy ca init" in ca("show").err
    made = ca("init")
    assert made.code == 0
    assert made.out.startswith(f"made: {tmp_path / 'ca' / 'ca.pem'}\n")
    assert "speaks for: all names" in made.out
    assert ca("init").out == ca("show").out == made.out.replace("made:", "kept:")
    assert ca("export", "-o", str(tmp_path / "out.pem")).code == 0
    assert (tmp_path / "out.pem").read_bytes() == (tmp_path / "ca" / "ca.pem").read_bytes()
    assert ca("export", "--format", "der", "-o", str(tmp_path / "out.der")).code == 0
    assert x509.load_der_x509_certificate((tmp_path / "out.der").read_bytes())
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600
    assert "absent" in ca("export", "-o", str(tmp_path / "absent" / "x")).err


def test_a_new_one_is_told_apart_and_the_bundle_holds_both(ca: Any, tmp_path: Path) -> None:
    first = ca("init").out
    second = ca("rotate").out
    assert [line for line in second.splitlines() if line.startswith("sha256")] != [
        line for line in first.splitlines() if line.startswith("sha256")
    ]
    assert ca("bundle", "-o", str(tmp_path / "bundle")).code == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "bundle")
    ours = [one for one in context.get_ca_certs() if "edgeproxy" in str(one)]
    assert len(ours) == 2


def test_it_can_be_limited_to_names(ca: Any) -> None:
    assert "speaks for: example.org" in ca("init", "--set", "proxy.ca_names=example.org").out


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("debian", "update-ca-certificates"),
        ("fedora", "update-ca-trust"),
        ("macos", "security add-trusted-cert"),
        ("docker", "# RUN update-ca-certificates"),
        ("python", "export PIP_CERT="),
    ],
)
def test_how_machines_are_told(ca: Any, system: str, line: str, tmp_path: Path) -> None:
    ca("init")
    told = ca("install", system).out
    assert line in told
    assert str(tmp_path / "ca") in told
