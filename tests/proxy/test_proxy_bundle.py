"""Whom clients of the proxy are to trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from edgeproxy.errors import ConfigurationError
from edgeproxy.proxy.authority import keep, make, trusted
from edgeproxy.proxy.bundle import bundle, write_bundle

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "roots.pem"
    place.write_bytes(make(NOW).pem.rstrip(b"\n"))  # as some are: without an end of line
    monkeypatch.setenv("SSL_CERT_FILE", str(place))
    return place


def loaded(data: bytes) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=data.decode())
    return len(context.get_ca_certs(binary_form=True))


def test_it_holds_the_public_roots_the_authority_and_its_former_ones(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    for number in range(3):
        keep(directory, make(NOW + number))
        assert loaded(bundle(trusted(directory))) == 2 + number


def test_the_authority_of_a_node_elsewhere_has_a_bundle_of_its_own(tmp_path: Path) -> None:
    directory = tmp_path / "absent" / "ca"
    places = [write_bundle(directory, make(NOW + number).pem) for number in range(2)]
    assert [loaded(place.read_bytes()) for place in places] == [2, 2]
    keep(directory, make(NOW))
    assert write_bundle(directory) not in places


def test_it_is_written_when_it_has_changed_and_only_then(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    keep(directory, make(NOW))
    place = write_bundle(directory)
    before = place.stat().st_mtime_ns
    assert write_bundle(directory).stat().st_mtime_ns == before
    keep(directory, make(NOW + 1))
    assert loaded(write_bundle(directory).read_bytes()) == 3
    assert [path.name for path in directory.glob("bundle*")] == ["bundle.pem"]


def test_roots_that_cannot_be_read_are_named(
    tmp_path: Path, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path / "ca", make(NOW))
    monkeypatch.setattr("edgeproxy.proxy.bundle.ca_bundle", lambda _: str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="absent"):
        write_bundle(tmp_path / "ca")
