"""The DNS router alone, for `benchmarks.dns`: five nodes, the embedded country table, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable

import uvloop

from edgeproxy.metrics import Metrics
from edgeproxy.router import country_table
from edgeproxy.router.client import Address, Client, Whereabouts, identify
from edgeproxy.router.country_table import Countries
from edgeproxy.router.decide import Decision
from edgeproxy.router.dns_limit import LimitSettings
from edgeproxy.router.dns_router import DnsRouter
from edgeproxy.router.dns_settings import DnsSettings, RoutedName, ZoneSettings
from edgeproxy.router.dns_territory import CountryTerritory
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.snapshot import Snapshot
from edgeproxy.tasks import Tasks

PLACES = {
    "frankfurt": Place(50.1, 8.7),
    "ashburn": Place(39.0, -77.5),
    "saopaulo": Place(-23.5, -46.6),
    "singapore": Place(1.35, 103.8),
    "tokyo": Place(35.7, 139.7),
}


class World:
    """A map that never changes."""

    def __init__(self, countries: Countries) -> None:
        self._countries = countries
        self.snapshot = Snapshot(
            tuple(
                RouteNode(name, addresses=(f"192.0.2.{number}", f"2001:db8::{number}"), place=place)
                for number, (name, place) in enumerate(PLACES.items(), 1)
            )
        )

    def whereabouts(self, address: Address) -> Whereabouts:
        country = self._countries.country(address)
        return Whereabouts(country, self._countries.place(country))

    def client(self, address: Address | None, *, bits: int | None = None) -> Client:
        return identify(address, self, bits=bits)

    def decided(self, client: Client, decision: Decision) -> None:
        pass

    def complained(self, client: Client, node: str, *, lasts: bool = False) -> None:
        pass

    def excluded(self, client: Client) -> frozenset[str]:
        return frozenset()

    def watch(self, changed: Callable[[], None]) -> None:
        pass


def report(what: str, error: BaseException) -> None:
    print(f"{what}: {error!r}", file=sys.stderr)


async def serve(port: int) -> None:
    countries = country_table.embedded()
    zone = ZoneSettings("cdn.example", "@ NS ns1\nns1 A 192.0.2.53", (RoutedName("www"),))
    settings = DnsSettings((f"127.0.0.1:{port}",), (zone,), limit=LimitSettings(per_second=1e9))
    tasks = Tasks(report)
    territory = CountryTerritory(countries)
    router = DnsRouter(settings, World(countries), territory, tasks, Metrics(), time.time, report)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await router.start()
    await ended.wait()
    await router.aclose()
    await tasks.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
