"""The node's own certificate: made once, kept, made anew when it no longer serves."""

import os
import ssl
import time
from pathlib import Path

import pytest

from edgeproxy.config import Listen, Site
from edgeproxy.errors import ConfigurationError
from edgeproxy.serving.self_signed import RENEW_SECONDS, ensure, files_in, make, names_wanted

NOW = time.time()
NAMES = ("localhost", "127.0.0.1", "::1")


def test_it_is_kept_until_it_no_longer_serves(tmp_path: Path) -> None:
    assert ensure(tmp_path, NAMES, NOW)
    first = Path(files_in(tmp_path).certificate).read_bytes()
    assert not ensure(tmp_path, NAMES, NOW)
    assert not ensure(tmp_path, NAMES[:1], NOW + 700 * 86400)
    assert Path(files_in(tmp_path).certificate).read_bytes() == first
    assert ensure(tmp_path, (*NAMES, "node.example"), NOW)
    assert ensure(tmp_path, NAMES, NOW + 825 * 86400 - RENEW_SECONDS)


@pytest.mark.parametrize("spoilt", ["certificate", "key"])
def test_half_of_it_is_none(tmp_path: Path, spoilt: str) -> None:
    ensure(tmp_path, NAMES, NOW)
    path = Path(getattr(files_in(tmp_path), spoilt))
    other = make(NAMES, NOW)[spoilt == "certificate"]
    path.write_bytes(other)  # as if the power had failed between the two
    assert ensure(tmp_path, NAMES, NOW)
    path.unlink()
    assert ensure(tmp_path, NAMES, NOW)
    assert not ensure(tmp_path, NAMES, NOW)


def test_only_the_nodes_user_can_read_the_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ensure(tmp_path, NAMES, NOW)
    finally:
        os.umask(before)
    assert Path(files_in(tmp_path).key).stat().st_mode & 0o777 == 0o600
    assert Path(files_in(tmp_path).certificate).stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_be_written_the_option_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"tls\.self_signed: .* cannot be written"):
        ensure(tmp_path, NAMES, NOW)


def shaken(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bool:
    """Whether a handshake in memory succeeds."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(inward, outward, True), client.wrap_bio(outward, inward, False, name)]
    for turn in range(8):
        try:
            ends[1 - turn % 2].do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return ends[1].version() is not None


def test_clients_that_are_given_it_trust_the_node_under_its_names(tmp_path: Path) -> None:
    ensure(tmp_path, (*NAMES, "Cache_1.example", "10.1.2.3"), NOW)
    files = files_in(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in (*NAMES, "cache_1.example", "10.1.2.3"):
        assert shaken(server, client, name), name
    assert not shaken(server, client, "elsewhere.example")
    other = ssl.create_default_context()
    assert not shaken(server, other, "localhost")


def test_names_come_from_listeners_and_sites() -> None:
    listen = Listen(https=["0.0.0.0:8443", "10.1.2.3:8443", "[fd00::1]:443", "unix:/run/e", "Edge.lan:1"])
    sites = [Site(name="a", hosts=["a.example:8443", "b.example"]), Site(name="b", mount="/b")]
    assert names_wanted(listen, sites) == (
        *NAMES, "10.1.2.3", "fd00::1", "edge.lan", "a.example", "b.example"
    )  # fmt: skip
