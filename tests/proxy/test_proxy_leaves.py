"""Certificates made on demand, as clients see them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509

from edgeproxy.proxy.authority import Authority, make
from edgeproxy.proxy.leaves import LIFETIME, Leaves

STRICT = getattr(ssl, "VERIFY_X509_STRICT", 0)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make(time.time())


@pytest.fixture
def leaves(authority: Authority) -> Leaves:
    return Leaves(authority, lambda context: context.set_alpn_protocols(["http/1.1"]))


def client_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.verify_flags |= STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[bytes, str | None]:
    """The certificate that a client sees, and the protocol chosen. Raises ssl.SSLError."""
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as secured:
            return secured.getpeercert(True) or b"", secured.selected_alpn_protocol()
    finally:
        near.close()
        thread.join()


@pytest.mark.parametrize("host", ["files.example.org", "127.0.0.1", "::1", "x" * 63 + ".example.org"])
def test_a_strict_client_that_trusts_the_authority_believes_it(
    leaves: Leaves, authority: Authority, host: str
) -> None:
    der, protocol = shake(leaves.context(host, time.time()), client_context(authority), host)
    assert protocol == "http/1.1"
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= LIFETIME
    assert leaves.minted == 1


def test_it_is_made_once_and_anew_before_it_ends(leaves: Leaves) -> None:
    now = time.time()
    assert leaves.known("a.example.org", now) is None
    first = leaves.context("a.example.org", now)
    assert leaves.known("a.example.org", now + 80 * 86400) is first
    assert leaves.known("a.example.org", now + 89 * 86400) is None
    assert leaves.context("a.example.org", now + 80 * 86400) is first
    assert leaves.context("b.example.org", now) is not first
    assert leaves.context("a.example.org", now + 89 * 86400) is not first
    assert leaves.minted == 3


def test_who_does_not_trust_it_or_asks_for_another_name_says_so(leaves: Leaves, authority: Authority) -> None:
    context = leaves.context("a.example.org", time.time())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, ssl.create_default_context(), "a.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, client_context(authority), "b.example.org")


def test_an_authority_limited_to_names_is_believed_for_those_only() -> None:
    authority = make(time.time(), ["example.org"])
    leaves = Leaves(authority, lambda _: None)
    client = client_context(authority)
    shake(leaves.context("a.example.org", time.time()), client, "a.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(leaves.context("example.net", time.time()), client, "example.net")


def test_a_host_no_certificate_can_hold_is_refused(leaves: Leaves) -> None:
    with pytest.raises(ValueError, match=r".*"):
        leaves.context("ä.example.org", time.time())


def test_no_file_is_left_behind(leaves: Leaves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    leaves.context("c.example.org", time.time())
    assert list(tmp_path.iterdir()) == []
