"""What a TLS handshake is done with: one context for each certificate, chosen by the name asked for.

Each context has ticket keys of its own, so a session begun under one certificate cannot be taken up
under another. Early data is never accepted, since it could be replayed, and a connection is never
negotiated anew. https://www.rfc-editor.org/rfc/rfc9325"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeproxy.config import Tls
from edgeproxy.errors import ConfigurationError
from edgeproxy.serving import self_signed
from edgeproxy.serving.certificates import CertificateFiles, Checked, check_authorities, check_files

TLS_1_2 = 0x0303
TICKETS = 1  # OpenSSL makes two; a client takes up a session once, and gets another ticket then
_CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"  # AEAD with forward secrecy; those of 1.3 all are
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Contexts:
    """`minimum` is the least version as on the wire. `expires` is when the first of the certificates
    ends, in wall-clock seconds."""

    default: ssl.SSLContext
    by_name: Mapping[str, ssl.SSLContext]
    protocols: tuple[str, ...]
    minimum: int = TLS_1_2
    expires: float = 0.0

    def choose(self, name: str) -> ssl.SSLContext:
        """The context for a server name: its own, that of the wildcard one label above, the default."""
        found = self.by_name.get(name)
        if found is None and "." in name:
            found = self.by_name.get("*." + name.partition(".")[2])
        return self.default if found is None else found


@dataclass(frozen=True, slots=True)
class Sources:
    """`directory` is the cache directory, where a certificate of the node's own is kept for `names`."""

    settings: Tls
    directory: Path
    names: tuple[str, ...] = ()

    def default(self) -> CertificateFiles:
        settings = self.settings
        if settings.self_signed:
            return self_signed.files_in(self.directory)
        return CertificateFiles(
            settings.certificate,
            settings.key or settings.certificate,
            key_option="tls.key" if settings.key else "tls.certificate",
        )

    def further(self) -> list[CertificateFiles]:
        found = []
        for place, sni in enumerate(self.settings.sni, 1):
            option = f"tls.sni.{place}"
            found.append(
                CertificateFiles(
                    sni.certificate,
                    sni.key or sni.certificate,
                    f"{option}.certificate",
                    f"{option}.{'key' if sni.key else 'certificate'}",
                )
            )
        return found

    def paths(self) -> list[str]:
        """Every file that is read."""
        files = [self.default(), *self.further()]
        found = [path for each in files for path in (each.certificate, each.key)]
        return list(dict.fromkeys([*found, *filter(None, [self.settings.client_ca])]))


def load(sources: Sources, protocols: Sequence[str], now: float) -> Contexts:
    """Read all files and make contexts that offer `protocols` by ALPN. Blocks. Raises ConfigurationError
    naming the option of the first file that cannot be used at `now`."""
    settings = sources.settings
    if settings.self_signed:
        self_signed.ensure(sources.directory, sources.names, now)
    if settings.client_ca:
        check_authorities("tls.client_ca", settings.client_ca)
    default = check_files(sources.default(), now)
    further = [check_files(files, now) for files in sources.further()]
    by_name: dict[str, ssl.SSLContext] = {}
    for sni, checked in zip(settings.sni, further, strict=True):
        context = _context(checked, settings, protocols)
        for name in sni.names or checked.names:
            by_name.setdefault(name, context)  # the first one wins
    context = _context(default, settings, protocols)
    for name in default.names:
        by_name.setdefault(name, context)
    return Contexts(
        context,
        by_name,
        tuple(protocols),
        int(_VERSIONS[settings.minimum]),
        min(checked.expires for checked in (default, *further)),
    )


def _context(checked: Checked, settings: Tls, protocols: Sequence[str]) -> ssl.SSLContext:
    # Not create_default_context: that would obey SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum]
    context.set_ciphers(_CIPHERS_1_2)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = TICKETS
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if settings.kernel and _kernel_helps():
        context.options |= getattr(ssl, "OP_ENABLE_KTLS", 0)
    files = checked.files
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        raise ConfigurationError(files.certificate_option, f"{files.certificate}: {_reason(error)}") from None
    if settings.client_certificates != "off":
        _ask_clients(context, settings)
    return context


def _ask_clients(context: ssl.SSLContext, settings: Tls) -> None:
    required = settings.client_certificates == "required"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # What the file lists is trusted as it stands, so nodes may be named one by one.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(settings.client_ca)
    except (OSError, ValueError) as error:
        raise ConfigurationError("tls.client_ca", f"{settings.client_ca}: {_reason(error)}") from None


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")  # otherwise OpenSSL would ask the terminal for it


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else str(error)


def _kernel_helps() -> bool:
    """Asking for kernel TLS where the module is not loaded makes each connection slower, and says so."""
    return hasattr(ssl, "OP_ENABLE_KTLS") and os.path.exists("/sys/module/tls")
