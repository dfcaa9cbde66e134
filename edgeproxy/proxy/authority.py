"""The node's own certificate authority, for hosts that it answers under their own name.

    <directory>/ca.pem       the certificate, for clients to trust
    <directory>/ca.key       its key, readable by the node's user only
    <directory>/former.pem   certificates of former keys, newest first: clients may trust them still

Whoever has the key can speak for any name to the clients that trust the certificate. So it is made on the
machine where it is used, never leaves it, and may be limited to names (RFC 5280 section 4.2.1.10) where the
clients keep to that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edgeproxy.errors import ConfigurationError
from edgeproxy.serving.key_files import replace

LIFETIME = timedelta(days=3650)
FORMER_MAX = 4
_SKEW = timedelta(days=1)  # clocks of clients that are behind
_OPTION = "proxy.ca"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate with its key. `pem` is the certificate as clients take it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as people compare it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def names(self) -> tuple[str, ...]:
        """The names it is limited to; () for all."""
        with contextlib.suppress(x509.ExtensionNotFound):
            limits = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
            return tuple(str(one.value) for one in limits.permitted_subtrees or ())
        return ()


def make(now: float, names: Iterable[str] = ()) -> Authority:
    """A new authority (ECDSA P-256), limited to `names` and what is below them if there are any."""
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
    serial = x509.random_serial_number()
    # The subject differs for each key: a client that trusts two of them must not take one for the other.
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"edgeproxy local CA {serial:x}"[:64])])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin - _SKEW)
        .not_valid_after(begin - _SKEW + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    permitted = [x509.DNSName(name) for name in sorted(set(names))]
    if permitted:
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def load(directory: Path) -> Authority | None:
    """The authority kept in `directory`; None if there is none. Blocks. Raises ConfigurationError for one
    that cannot be used."""
    place = directory / "ca.pem"
    try:
        pem, key_pem = place.read_bytes(), (directory / "ca.key").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(_OPTION, f"{error.filename}: {error.strerror}") from None
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(_OPTION, f"{place}: cannot be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise ConfigurationError(
            _OPTION, f"{place}: does not belong to the key beside it; see `edgeproxy ca`"
        )
    return Authority(certificate, key)


def keep(directory: Path, authority: Authority) -> None:
    """Write it down; one that is there becomes a former one. Blocks. Raises ConfigurationError."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _set_aside(directory)
        key = authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        replace(directory / "ca.key", key, 0o600)
        replace(directory / "ca.pem", authority.pem, 0o644)
    except OSError as error:
        raise ConfigurationError(_OPTION, f"{directory}: cannot be written: {error.strerror}") from None


def ensure(directory: Path, now: float, names: Iterable[str] = ()) -> Authority:
    """The one kept, or a new one. Blocks. Raises ConfigurationError."""
    found = load(directory)
    if found is not None and found.certificate.not_valid_after_utc.timestamp() > now:
        return found
    made = make(now, names)
    keep(directory, made)
    return made


def trusted(directory: Path) -> bytes:
    """PEM of the certificate kept and of the former ones."""
    found = b""
    for name in ("ca.pem", "former.pem"):
        with contextlib.suppress(FileNotFoundError):
            found += (directory / name).read_bytes()
    return found


def _set_aside(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        former = x509.load_pem_x509_certificates(trusted(directory))
        kept = b"".join(one.public_bytes(Encoding.PEM) for one in former[:FORMER_MAX])
        replace(directory / "former.pem", kept, 0o644)
