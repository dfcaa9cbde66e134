"""Certificates looked at before they are used."""

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from stands.authority import Authority, Issued

from edgeproxy.errors import ConfigurationError
from edgeproxy.serving.certificates import CertificateFiles, check_authorities, check_files, describe

NOW = time.time()


def files(issued: Issued) -> CertificateFiles:
    return CertificateFiles(str(issued.certificate), str(issued.key))


def test_names_and_end_of_a_good_certificate_are_known(authority: Authority) -> None:
    issued = authority.issue("good", ["Node.Example", "*.node.example", "10.0.0.1"], days=11, begins=-1)
    checked = check_files(files(issued), NOW)
    assert checked.names == ("node.example", "*.node.example")
    assert abs(checked.expires - NOW - 10 * 86400) < 3600


def test_without_alternative_names_the_common_name_counts(authority: Authority) -> None:
    assert check_files(files(authority.issue("old.example", [])), NOW).names == ("old.example",)


def test_key_and_certificate_may_share_a_file(authority: Authority) -> None:
    issued = authority.issue("one")
    both = issued.key.read_bytes() + issued.certificate.read_bytes()
    issued.certificate.write_bytes(both)
    assert check_files(CertificateFiles(str(issued.certificate), str(issued.certificate)), NOW).names


def spoil(issued: Issued, authority: Authority, how: str) -> None:
    match how:
        case "absent":
            issued.certificate.unlink()
        case "no key":
            issued.key.unlink()
        case "a directory":
            issued.key.unlink()
            issued.key.mkdir()
        case "no PEM":
            issued.certificate.write_text("nothing")
        case "half of it":
            issued.certificate.write_bytes(issued.certificate.read_bytes()[:200])
        case "half a key":
            issued.key.write_bytes(issued.key.read_bytes()[:100])
        case "key of another":
            issued.key.write_bytes(authority.issue("other").key.read_bytes())
        case "passphrase":
            authority.issue("node", passphrase=b"secret")
        case "expired":
            authority.issue("node", begins=-20, days=10)
        case "not yet good":
            authority.issue("node", begins=10, days=10)
        case "huge":
            issued.certificate.write_bytes(bytes(2 << 20))


@pytest.mark.parametrize(
    ("how", "option", "said"),
    [
        ("absent", "tls.certificate", "No such file"),
        ("no key", "tls.key", "No such file"),
        ("a directory", "tls.key", "Is a directory"),
        ("no PEM", "tls.certificate", "holds no certificate"),
        ("half of it", "tls.certificate", "holds no certificate"),
        ("half a key", "tls.key", "holds no private key"),
        ("key of another", "tls.key", "is not the key of"),
        ("passphrase", "tls.key", "has a passphrase"),
        ("expired", "tls.certificate", "expired at 20"),
        ("not yet good", "tls.certificate", "is not valid before 20"),
        ("huge", "tls.certificate", "larger than"),
    ],
)
def test_what_cannot_be_used_is_named(authority: Authority, how: str, option: str, said: str) -> None:
    issued = authority.issue("node")
    spoil(issued, authority, how)
    with pytest.raises(ConfigurationError, match=said) as caught:
        check_files(files(issued), NOW)
    assert caught.value.path == option
    assert str(issued.certificate.parent) in str(caught.value)


def test_authorities_are_certificates(authority: Authority, tmp_path: Path) -> None:
    check_authorities("tls.client_ca", str(authority.file))
    with pytest.raises(ConfigurationError, match=r"tls\.client_ca: .* holds no certificate"):
        check_authorities("tls.client_ca", str(authority.issue("node").key))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["edge-1.example", "spiffe://example/edge", "10.0.0.1"],) * 2,
        ([], ["stem"]),
    ],
)
def test_a_holder_is_described(authority: Authority, names: list[str], told: list[str]) -> None:
    issued = authority.issue("stem", names)
    leaf = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    certified = describe(leaf.public_bytes(Encoding.DER))
    assert list(certified.names) == told
    assert certified.subject == "CN=stem"
    assert len(bytes.fromhex(certified.fingerprint)) == 32


def test_what_cannot_be_read_has_a_fingerprint() -> None:
    assert describe(b"no certificate").names == ()
    assert len(describe(b"no certificate").fingerprint) == 64
