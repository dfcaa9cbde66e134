"""A certificate authority of a test's own: certificates good and bad, in files."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Issued:
    """A certificate (with its issuer's behind it) and its key."""

    certificate: Path
    key: Path

    @property
    def pin(self) -> str:
        """The SHA-256 of its public key, in base64."""
        certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(key).digest()).decode()

    def move_to(self, other: Issued) -> None:
        """Put this certificate in the place of another, a file at a time."""
        self.certificate.replace(other.certificate)
        self.key.replace(other.key)


def _named(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.UniformResourceIdentifier(text) if "://" in text else x509.DNSName(text)


class Authority:
    """`file` is its own certificate. Everything is written into `directory`."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = self._builder(self._subject, self._key.public_key(), now - DAY, now + 90 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.file = directory / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begin: datetime.datetime,
        end: datetime.datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )

    def issue(
        self,
        stem: str,
        names: Sequence[str] = LOCAL,
        *,
        begins: float = -1.0,
        days: float = 60.0,
        passphrase: bytes = b"",
    ) -> Issued:
        """A certificate for `names`, good from `begins` days from now for `days` days."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin = datetime.datetime.now(datetime.UTC) + begins * DAY
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        builder = self._builder(subject, key.public_key(), begin, begin + days * DAY)
        if names:
            alternative = x509.SubjectAlternativeName([_named(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        issued = Issued(self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        chain = (certificate, self._certificate)
        issued.certificate.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
        protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        return issued

    def client(self, own: Issued | None = None, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """What a client that trusts this authority connects with, `own` being its certificate."""
        return trusting(self.file, own, alpn)


def trusting(file: Path, own: Issued | None = None, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(file))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
