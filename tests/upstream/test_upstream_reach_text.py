"""How a host is reached, told between processes."""

from __future__ import annotations

from edgeproxy.upstream.reach_text import decode_reach, encode_reach
from edgeproxy.upstream.upstream import Identity, Reach


def test_what_is_told_is_understood_and_no_identity_is_told() -> None:
    reach = Reach(2.5, 7.0, verify_tls=False, ca_file="/é.pem", private_addresses=True)
    assert decode_reach(encode_reach(reach)) == reach
    assert encode_reach(reach).isascii()
    secret = Reach(identity=Identity(certificate="/certificate.pem", key="/key.pem"))
    assert "key.pem" not in encode_reach(secret)
