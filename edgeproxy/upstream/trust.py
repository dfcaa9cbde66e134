"""Where trusted roots are found: libcurl of a wheel has no bundle of its own."""

from __future__ import annotations

import os
import ssl

import certifi


def ca_bundle(configured: str) -> str:
    """The PEM file to verify upstreams with: the configured one, else that of SSL_CERT_FILE or the
    system as the ssl module knows it, else certifi's. Looks at the disk; call it at start."""
    if configured:
        return configured
    paths = ssl.get_default_verify_paths()
    for path in (os.environ.get(paths.openssl_cafile_env), paths.cafile, *_USUAL):
        if path and os.path.isfile(path):
            return path
    return certifi.where()


_USUAL = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
