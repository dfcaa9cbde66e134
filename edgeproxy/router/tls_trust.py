"""What this process proves over TLS, and demands to be proven: with nodes it probes and looks at, and with
routers it announces itself to."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from dataclasses import dataclass

FilesState = tuple[tuple[int, int], ...]


class NotTrusted(OSError):
    """The other end has not proven what it must, or this one cannot."""


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Files in PEM, "" for none; trusted roots are the system's unless `ca_file` is set. `pins` are base64 of
    the SHA-256 of public keys in DER (SubjectPublicKeyInfo), as in RFC 7469 section 2.4; () accepts any."""

    verify: bool = True
    ca_file: str = ""
    pins: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""


class TlsTrust:
    """Files that appear anew are read again."""

    def __init__(self, settings: TrustSettings = TrustSettings()) -> None:
        self._settings = settings
        self._pins = frozenset(base64.b64decode(pin) for pin in settings.pins)
        self._context: ssl.SSLContext | None = None
        self._read: FilesState = ()

    def context(self) -> ssl.SSLContext:
        """Raises NotTrusted for files that cannot be used, in one line that names them."""
        state = self._state()
        if self._context is None or state != self._read:
            self._context, self._read = self._made(), state
        return self._context

    def _state(self) -> FilesState:
        settings, found = self._settings, []
        for name in filter(None, (settings.ca_file, settings.certificate, settings.key)):
            try:
                told = os.stat(name)
            except OSError as error:
                if self._context is not None:  # one that is being replaced
                    return self._read
                raise NotTrusted(f"{name}: {error.strerror}") from None
            found.append((told.st_mtime_ns, told.st_ino))
        return tuple(found)

    def _made(self) -> ssl.SSLContext:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:
            raise NotTrusted(f"{settings.ca_file}: no certificates: {error.strerror or error}") from None
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.certificate:
            try:
                context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
            except OSError as error:
                why = error.strerror or error
                raise NotTrusted(f"{settings.certificate}, {settings.key}: no usable pair: {why}") from None
        return context

    def check(self, connection: ssl.SSLObject | None) -> None:
        """After a handshake. Raises NotTrusted if the key shown is none of those pinned."""
        if not self._pins:
            return
        # What reads certificates takes megabytes: only who pins keys has it.
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        shown = None if connection is None else connection.getpeercert(binary_form=True)
        if shown is None:
            raise NotTrusted("no certificate was shown, and keys are pinned")
        try:
            key = x509.load_der_x509_certificate(shown).public_key()
        except ValueError as error:
            raise NotTrusted(f"a certificate that cannot be read was shown: {error}") from None
        told = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if hashlib.sha256(told).digest() not in self._pins:
            raise NotTrusted("the public key shown is none of those pinned")


def _no_password() -> bytes:
    """Without it OpenSSL asks at the terminal for what an encrypted key wants."""
    raise NotTrusted("the key is encrypted")
