from __future__ import annotations

import pytest

from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Headers
from edgeproxy.serving.client_address import Networks, attribute

TRUSTED = Networks(["10.0.0.0/8", "::1", "unix:"])
CASES = [
    ("192.0.2.1", [("X-Forwarded-For", "1.2.3.4")], ("192.0.2.1", "")),
    ("10.0.0.1", [], ("10.0.0.1", "")),
    ("10.0.0.1", [("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", "")),
    ("", [("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", "")),
    ("10.0.0.1", [("X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.2")], ("1.2.3.4", "")),
    ("10.0.0.1", [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", "")),
    ("10.0.0.1", [("X-Forwarded-For", "10.0.0.3, 10.0.0.2")], ("10.0.0.3", "")),
    ("10.0.0.1", [("X-Forwarded-For", "1.2.3.4, nonsense, 10.0.0.2")], ("10.0.0.2", "")),
    ("10.0.0.1", [("X-Forwarded-For", "0x7f.1")], ("10.0.0.1", "")),
    ("10.0.0.1", [("X-Forwarded-For", "1.2.3.4:80")], ("1.2.3.4", "")),
    ("10.0.0.1", [("X-Forwarded-For", "[2001:db8::1]:80")], ("2001:db8::1", "")),
    ("::ffff:10.0.0.1", [("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", "")),
    ("10.0.0.1", [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "HTTPS")], ("1.2.3.4", "https")),
    ("10.0.0.1", [("X-Forwarded-Proto", "javascript")], ("10.0.0.1", "")),
    ("10.0.0.1", [("Forwarded", 'for=6.6.6.6, for="[2001:db8::1]:4";proto=https')], ("2001:db8::1", "https")),
    ("10.0.0.1", [("Forwarded", "For=1.2.3.4"), ("X-Forwarded-For", "6.6.6.6")], ("1.2.3.4", "")),
    ("10.0.0.1", [("Forwarded", "for=unknown")], ("10.0.0.1", "")),
    ("10.0.0.1", [("Forwarded", "by=x")], ("10.0.0.1", "")),
]


@pytest.mark.parametrize(("peer", "fields", "expected"), CASES)
def test_trusted_hops_are_believed_from_the_end_and_nobody_else(
    peer: str, fields: list[tuple[str, str]], expected: tuple[str, str]
) -> None:
    assert tuple(attribute(peer, Headers(fields), TRUSTED)) == expected


def test_a_network_that_is_none_names_its_option() -> None:
    with pytest.raises(ConfigurationError, match=r"^listen\.trusted_clients: "):
        Networks(["example"], "listen.trusted_clients")
