"""The forward proxy as it is without a word of the operator."""

from __future__ import annotations

import ipaddress

from edgeproxy.config_proxy import Proxy


def test_it_is_never_open_to_the_world() -> None:
    proxy = Proxy()
    for text in proxy.clients:
        network = ipaddress.ip_network(text)
        assert network.is_private or network.subnet_of(ipaddress.ip_network("100.64.0.0/10"))  # type: ignore[arg-type]
    assert (sorted(proxy.ports), proxy.private_addresses) == ([80, 443], False)
