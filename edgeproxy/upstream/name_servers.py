"""Asking name servers, with dnspython. Only resolver.py loads this module, with the first name that nobody on
this machine knows: a node that answers from its store, or whose upstreams are addresses, has none."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

from edgeproxy.address import parse_name_server
from edgeproxy.config import UpstreamSection
from edgeproxy.errors import ProxyError
from edgeproxy.upstream.name_answer import ADDRESSES_MAX, DENIED_SECONDS, FAILED_SECONDS, TTL_MIN, Answer


class NameServers:
    """Those of `settings`, else those of the file `resolv_conf`, which is read here. One that is missing or
    cannot be read leaves nobody."""

    def __init__(self, settings: UpstreamSection, resolv_conf: Path) -> None:
        self._ttl_max = settings.dns_ttl_max
        self._servers = _servers(settings, resolv_conf)

    async def ask(self, host: str, kind: str) -> Answer:
        """One question for the addresses of one family, "A" or "AAAA". Never raises: trouble is an answer."""
        if not self._servers.nameservers:
            return Answer((), FAILED_SECONDS, error=ProxyError.DNS_ERROR, message=f"{host}: no name server")
        try:
            found = await self._servers.resolve(host, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            message = f"{host}: no such name"
            return Answer((), DENIED_SECONDS, error=ProxyError.DESTINATION_NOT_FOUND, message=message)
        except dns.exception.Timeout:
            message = f"{host}: name servers do not answer"
            return Answer((), FAILED_SECONDS, error=ProxyError.DNS_TIMEOUT, message=message)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            message = f"{host}: {type(error).__name__}"
            return Answer((), FAILED_SECONDS, error=ProxyError.DNS_ERROR, message=message)
        assert found.rrset is not None
        ttl = min(max(TTL_MIN, float(found.rrset.ttl)), self._ttl_max)
        addresses = sorted(ipaddress.ip_address(str(record.address)) for record in found)
        return Answer(tuple(addresses[:ADDRESSES_MAX]), ttl)


def _servers(settings: UpstreamSection, resolv_conf: Path) -> dns.asyncresolver.Resolver:
    servers = dns.asyncresolver.Resolver(configure=False)
    servers.use_search_by_default = True
    if settings.nameservers:
        servers.nameservers = [
            dns.nameserver.Do53Nameserver(*parse_name_server(text)) for text in settings.nameservers
        ]
    else:
        try:
            servers.read_resolv_conf(str(resolv_conf))
        except (dns.exception.DNSException, OSError, ValueError):
            servers.nameservers = []
    servers.lifetime = max(0.1, settings.connect_timeout)
    servers.timeout = servers.lifetime / 2
    servers.cache = None
    return servers
