"""Certificates and keys in PEM files, looked at before they are used: names, dates, whether they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Certified

FILE_BYTES_MAX = 1 << 20
_AUTHORITIES_MAX = 10_000

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate and its key are, and the dotted keys of the options that say so."""

    certificate: str
    key: str
    certificate_option: str = "tls.certificate"
    key_option: str = "tls.key"


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate that fits its key and is good at the time it was checked. `names` are the DNS names
    it holds, in lower case; `expires` is in wall-clock seconds."""

    files: CertificateFiles
    names: tuple[str, ...]
    expires: float


def check_files(files: CertificateFiles, now: float) -> Checked:
    """Read a certificate and its key. Blocks. Raises ConfigurationError naming the option for what cannot
    be read, is no PEM, does not belong together, or is not good at `now` (wall-clock seconds)."""
    option = files.certificate_option
    chain = _understood(
        option, files.certificate, x509.load_pem_x509_certificates, "holds no certificate in PEM"
    )
    data = read_file(files.key_option, files.key)
    if b"ENCRYPTED" in data:
        raise ConfigurationError(files.key_option, f"{files.key} has a passphrase; the node cannot give one")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(files.key_option, f"{files.key} holds no private key in PEM") from error
    leaf = chain[0]
    if _public(key.public_key()) != _public(leaf.public_key()):
        raise ConfigurationError(files.key_option, f"{files.key} is not the key of {files.certificate}")
    begins, expires = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    if now >= expires:
        raise ConfigurationError(option, f"{files.certificate} expired at {_date(expires)}")
    if now < begins:
        raise ConfigurationError(option, f"{files.certificate} is not valid before {_date(begins)}")
    return Checked(files, _dns_names(leaf), expires)


def read_file(option: str, path: str) -> bytes:
    """A file named by a configuration. Blocks. Raises ConfigurationError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(option, f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(option, f"{path}: larger than {FILE_BYTES_MAX} bytes")
    return data


def check_authorities(option: str, path: str) -> None:
    """Whether a file holds certificates to trust. Blocks. Raises ConfigurationError."""
    found = _understood(option, path, x509.load_pem_x509_certificates, "holds no certificate in PEM")
    if len(found) > _AUTHORITIES_MAX:
        raise ConfigurationError(option, f"{path}: more than {_AUTHORITIES_MAX} certificates")


def describe(der: bytes) -> Certified:
    """What a verified certificate says about its holder. One that cannot be read has its fingerprint."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _alternative_names(certificate)
        subject = certificate.subject.rfc4514_string()
        if not names:
            common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            names = tuple(str(name.value) for name in common)
    except ValueError:
        names, subject = (), ""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return Certified(names, subject, digest.finalize().hex())


def _understood(option: str, path: str, load: Callable[[bytes], Loaded], otherwise: str) -> Loaded:
    data = read_file(option, path)
    try:
        return load(data)
    except ValueError as error:
        raise ConfigurationError(option, f"{path} {otherwise}") from error


def _public(key: Any) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Names a client may have asked for. The common name counts only where there are no others."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found: Iterable[str] = extension.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        found = [str(name.value) for name in common]
    return tuple(name.lower().rstrip(".") for name in found)


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )
