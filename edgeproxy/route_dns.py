"""The DNS router as a configuration describes it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

from edgeproxy.config import Config
from edgeproxy.config_router import RouterZone
from edgeproxy.errors import ConfigurationError, StartError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.route_map import RouteMap
from edgeproxy.router.dns_limit import LimitSettings
from edgeproxy.router.dns_router import DnsRouter
from edgeproxy.router.dns_settings import DnsSettings, RoutedName, TcpSettings, ZoneSettings
from edgeproxy.router.dns_territory import CountryTerritory
from edgeproxy.router.dns_zone_text import UnusableZone
from edgeproxy.tasks import Tasks

ZONE_BYTES_MAX = 16 << 20

Report = Callable[[str, BaseException], None]


def dns_settings(config: Config) -> DnsSettings:
    """Raises ConfigurationError for a zone file that cannot be read."""
    dns = config.router.dns
    return DnsSettings(
        listen=tuple(dns.listen),
        zones=tuple(_zone(zone, place) for place, zone in enumerate(dns.zone, 1)),
        udp_bytes_max=dns.udp_size,
        nsid=dns.nsid or config.node.name,
        use_subnet=dns.client_subnet,
        subnet_from=tuple(ipaddress.ip_network(network) for network in dns.subnet_from),
        cookie_secret=dns.cookie_secret,
        limit=LimitSettings(per_second=float(dns.rate)),
        unlimited=tuple(ipaddress.ip_network(network) for network in dns.unlimited),
        tcp=TcpSettings(connections=dns.tcp_connections),
        map_seconds=max(0.1, dns.map),
        addresses=dns.answers,
        ttl_least=int(dns.ttl_min),
        ttl_most=int(dns.ttl_max),
        reuse_port=config.listen.reuse_port,
    )


def _zone(zone: RouterZone, place: int) -> ZoneSettings:
    lines = [
        f"@ IN NS {server if '.' not in server else server.rstrip('.') + '.'}" for server in zone.nameservers
    ]
    records = "\n".join([*lines, *zone.records, _file(zone.file, f"router.dns.zone.{place}.file")])
    routed = tuple(
        RoutedName(name, tuple(zone.alpn), zone.port, tuple(zone.elsewhere)) for name in zone.names
    )
    return ZoneSettings(zone.name, records, routed)


def _file(name: str, path: str) -> str:
    if not name:
        return ""
    try:
        with Path(name).open(encoding="ascii") as file:
            text = file.read(ZONE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(path, f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(path, f"{name} is not ASCII text") from None
    if len(text) > ZONE_BYTES_MAX:
        raise ConfigurationError(path, f"{name} is larger than {ZONE_BYTES_MAX} bytes")
    return text


class RouteDns:
    """Nothing without `router.dns.listen`. Raises ConfigurationError; `start` StartError as well."""

    def __init__(
        self,
        config: Config,
        route_map: RouteMap,
        *,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Report,
    ) -> None:
        self._settings = dns_settings(config) if config.router.dns.listen else None
        self._map = route_map
        self._tasks, self._metrics, self._clock, self._report = tasks, metrics, clock, report
        self._router: DnsRouter | None = None

    async def start(self) -> tuple[str, ...]:
        """Answer; the addresses. The map has been started before."""
        settings, countries = self._settings, self._map.countries
        if settings is None or countries is None:
            return ()
        territory = CountryTerritory(countries)
        try:
            self._router = DnsRouter(
                settings, self._map.keeper, territory, self._tasks, self._metrics, self._clock, self._report
            )
            await self._router.start()
        except UnusableZone as error:
            raise ConfigurationError("router.dns.zone", str(error)) from None
        except OSError as error:
            raise StartError(f"router.dns.listen: {error.strerror or error}") from None
        return self._router.listened

    async def aclose(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            await router.aclose()
