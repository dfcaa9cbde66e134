"""The local authority, as files and as certificates."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from edgeproxy.errors import ConfigurationError
from edgeproxy.proxy.authority import FORMER_MAX, ensure, keep, load, make, trusted

NOW = 1_800_000_000.0


def test_it_is_made_once_and_found_again(tmp_path: Path) -> None:
    place = tmp_path / "ca"
    assert load(place) is None
    made = ensure(place, NOW)
    assert ensure(place, NOW + 1e6).pem == made.pem == trusted(place)
    assert stat.S_IMODE((place / "ca.key").stat().st_mode) == 0o600
    assert made.names == ()
    assert len(made.fingerprint) == 95


def test_a_new_one_leaves_the_former_ones_to_be_trusted(tmp_path: Path) -> None:
    made = [make(NOW + number) for number in range(FORMER_MAX + 2)]
    for one in made:
        keep(tmp_path, one)
    kept = x509.load_pem_x509_certificates(trusted(tmp_path))
    assert kept == [one.certificate for one in reversed(made)][: FORMER_MAX + 1]
    assert ensure(tmp_path, NOW + 4e8).pem != made[-1].pem, "one that has ended is replaced"


def test_what_openssl_says_of_it(tmp_path: Path) -> None:
    keep(tmp_path, make(NOW, ["example.org"]))
    text = subprocess.run(
        ["openssl", "x509", "-in", str(tmp_path / "ca.pem"), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for said in (
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "Subject Key Identifier",
        "Name Constraints: critical",
        "DNS:example.org",
        "prime256v1",
    ):
        assert said in text
    found = load(tmp_path)
    assert found is not None
    assert found.names == ("example.org",)


@pytest.mark.parametrize("damage", ["certificate", "key", "other key", "unreadable"])
def test_what_cannot_be_used_is_named(tmp_path: Path, damage: str) -> None:
    keep(tmp_path, make(NOW))
    match damage:
        case "certificate":
            (tmp_path / "ca.pem").write_text("nonsense")
        case "key":
            (tmp_path / "ca.key").write_text("nonsense")
        case "other key":
            other = tmp_path / "other"
            keep(other, make(NOW))
            (other / "ca.key").replace(tmp_path / "ca.key")
        case "unreadable":
            (tmp_path / "ca.key").unlink()
            (tmp_path / "ca.key").mkdir()
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path)
    assert refused.value.path == "proxy.ca"
    assert str(tmp_path) in str(refused.value)
    assert "nonsense" not in str(refused.value)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError):
        ensure(tmp_path / "file" / "ca", NOW)
