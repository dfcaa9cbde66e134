"""Certificates for hosts answered here under their own name, made when a client first asks for one.

All share one key, so that making one is a signature and no more; they are kept in memory until a day before
they end. What they hold is what the strictest clients want: Python 3.13 verifies with X509_STRICT, which asks
for the key identifiers of both sides."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cachetools import LRUCache
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgeproxy.proxy.authority import Authority
from edgeproxy.serving.tls import TICKETS

LIFETIME = timedelta(days=90)
RENEW = timedelta(days=1)
LEAVES_MAX = 4096
_SKEW = timedelta(days=1)

Finish = Callable[[ssl.SSLContext], None]


def mint(authority: Authority, key: ec.EllipticCurvePrivateKey, host: str, now: float) -> x509.Certificate:
    """The certificate of `host` (a name or an address), valid from a day ago."""
    begin = datetime.fromtimestamp(now, UTC).replace(microsecond=0) - _SKEW
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    issuer = authority.certificate
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    # A subject of our own would be limited to 64 signs, which names are not: so it is empty, and the names
    # are critical (RFC 5280 section 4.1.2.6).
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(begin, issuer.not_valid_before_utc))
        .not_valid_after(min(begin + LIFETIME, issuer.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
    )
    return builder.sign(authority.key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


class Leaves:
    """Contexts by host. `finish` sets what all contexts of the node share, such as ALPN. `minted` counts."""

    def __init__(self, authority: Authority, finish: Finish) -> None:
        self._authority = authority
        self._finish = finish
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._known: LRUCache[str, tuple[float, ssl.SSLContext]] = LRUCache(LEAVES_MAX)
        self._making = asyncio.Lock()
        self.minted = 0

    def known(self, host: str, now: float) -> ssl.SSLContext | None:
        """`context`, if it has been made and is to be used still."""
        known = self._known.get(host)
        return known[1] if known is not None and now < known[0] else None

    async def find(self, host: str, now: float) -> ssl.SSLContext:
        """`context`, made in a thread if it has to be. Raises ValueError likewise."""
        known = self.known(host, now)
        if known is not None:
            return known
        async with self._making:
            return await asyncio.to_thread(self.context, host, now)

    def context(self, host: str, now: float) -> ssl.SSLContext:
        """For a handshake as `host`, in lower case. Takes some milliseconds the first time. Raises ValueError
        for a host no certificate can hold."""
        known = self.known(host, now)
        if known is not None:
            return known
        certificate = mint(self._authority, self._key, host, now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.num_tickets = TICKETS
        _load(context, certificate.public_bytes(Encoding.PEM) + self._authority.pem, self._key_pem)
        self._finish(context)
        self.minted += 1
        self._known[host] = ((certificate.not_valid_after_utc - RENEW).timestamp(), context)
        return context


def _load(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """The ssl module reads files only: one in memory where the system has such, else one that is removed."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, chain + key)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "leaf.pem"
        path.touch(mode=0o600)
        path.write_bytes(chain + key)
        context.load_cert_chain(path)
