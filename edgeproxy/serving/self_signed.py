"""A certificate of the node's own, for trying TLS out.

    <cache directory>/tls/self-signed.key   the key, readable by the node's user only
    <cache directory>/tls/self-signed.pem   the certificate, for clients to trust

Both are kept across restarts; they are made anew when one is missing or does not fit, when the
certificate ends within a month, and when the configuration has names that are not in it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgeproxy.address import parse_address
from edgeproxy.config import Listen, Site
from edgeproxy.errors import ConfigurationError
from edgeproxy.serving.certificates import CertificateFiles, check_files
from edgeproxy.serving.key_files import replace

# No longer: clients of one large vendor refuse what is valid for more than 825 days.
LIFETIME = timedelta(days=825)
RENEW_SECONDS = 30 * 86400.0
_SKEW = timedelta(days=1)  # clocks of clients that are behind
_OPTION = "tls.self_signed"


def names_wanted(listen: Listen, sites: Iterable[Site]) -> tuple[str, ...]:
    """Names and addresses clients may use for the node, as far as the configuration tells."""
    found = ["localhost", "127.0.0.1", "::1"]
    for text in listen.https:
        address = parse_address(text)
        if address.host and not address.is_wildcard:
            found.append(address.host.lower())
    for site in sites:
        found += [host if host.endswith("]") else host.partition(":")[0] for host in site.hosts]
    return tuple(dict.fromkeys(name.strip("[]") for name in found if name))


def files_in(directory: Path) -> CertificateFiles:
    """Where the certificate of the node with this cache directory is."""
    place = directory / "tls"
    return CertificateFiles(str(place / "self-signed.pem"), str(place / "self-signed.key"), _OPTION, _OPTION)


def ensure(directory: Path, names: Iterable[str], now: float) -> bool:
    """Have a usable certificate for `names` in `directory`; tells whether it was made now. Blocks.
    Raises ConfigurationError if it cannot be written."""
    files = files_in(directory)
    wanted = set(names)
    with contextlib.suppress(ConfigurationError):
        found = check_files(files, now)
        if wanted <= _all_names(files.certificate) and found.expires - now > RENEW_SECONDS:
            return False
    key, certificate = make(wanted | {socket.gethostname().lower()}, now)
    try:
        Path(files.key).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace(Path(files.key), key, 0o600)
        replace(Path(files.certificate), certificate, 0o644)
    except OSError as error:
        raise ConfigurationError(_OPTION, f"{files.key}: cannot be written: {error.strerror}") from None
    return True


def make(names: Iterable[str], now: float) -> tuple[bytes, bytes]:
    """A key (ECDSA P-256) and its certificate, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
    # The subject differs for each key: a client that trusts two of them must not take one for the other.
    serial = x509.random_serial_number()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"edgeproxy {serial:x}"[:64])])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin - _SKEW)
        .not_valid_after(begin - _SKEW + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(list(_general_names(names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )


def _general_names(names: Iterable[str]) -> Iterable[x509.GeneralName]:
    for name in sorted(set(names)):
        try:
            yield x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            with contextlib.suppress(ValueError):  # a host name that no certificate can hold
                yield x509.DNSName(name)


def _all_names(path: str) -> set[str]:
    certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    }
