"""The map of nodes as a process keeps it: who lists nodes, who looks at them, where clients are. A router has
one, and so has a node that routes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edgeproxy.config import Config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.router import configured
from edgeproxy.router.announcements import Announcements
from edgeproxy.router.country_table import Countries
from edgeproxy.router.geo_files import GeoFiles
from edgeproxy.router.hop import Signer
from edgeproxy.router.keeper import Keeper
from edgeproxy.router.place import Place
from edgeproxy.router.policies import policy
from edgeproxy.router.prober import Prober
from edgeproxy.router.registry import Registry
from edgeproxy.router.shadow import Shadow
from edgeproxy.tasks import Tasks

SECRET_BYTES_MAX = 4096


class RouteMap:
    """Raises ConfigurationError for files that cannot be used. What runs, runs in `tasks`."""

    def __init__(
        self,
        config: Config,
        *,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        router = config.router
        self.config = config
        self._tasks = tasks
        self._clock = clock
        self.geo = GeoFiles(
            configured.geo_settings(router), clock=clock, report=report, changed=self._located
        )
        self.signer = signer_of(config)
        self._token = read_secret(
            router.signals.token, router.signals.token_file, "router.signals.token_file"
        )
        self.registry = Registry(configured.announce_rules(router, self._token))
        self.registry.configure(configured.nodes(router, self.place_of))
        self.keeper = Keeper(
            self.registry,
            self.geo,
            configured.keeper_settings(router),
            clock=clock,
            report=report,
            coverage=configured.coverage_of(router),
            rules=configured.rules_of(router),
        )
        own = router.own if router.enabled else ""  # whoever asks itself learns nothing
        self.shadows = tuple(Shadow(policy(name)) for name in router.shadow)
        self.prober = Prober(
            lambda: [one for one in self.registry.listed(clock()) if one.node.name != own],
            self.keeper,
            configured.probe_settings(router),
            tasks=tasks,
            timer=time.monotonic,
            tls=configured.trust_of(router, config.upstream.ca_file),
        )
        self.keeper.look_by(self.prober.soon)
        self.announcements = Announcements(self.registry, self.keeper, clock=clock, report=report)
        metrics.gauge("map_age_seconds", lambda: max(0.0, clock() - self.keeper.snapshot.made_at))
        metrics.gauge("map_nodes", lambda: float(len(self.keeper.snapshot.nodes)))
        metrics.gauge(
            "map_nodes_up", lambda: float(sum(one.takes_clients for one in self.keeper.snapshot.nodes))
        )

    async def start(self) -> None:
        """Read the tables, and look at the nodes from now on."""
        await self.geo.load()
        self.configure(self.config)
        self._tasks.start(self.geo.run(), "geographic files")
        self._tasks.start(self.keeper.run(), "the map")
        if self.config.router.health.interval:
            self._tasks.start(self.prober.run(), "probes")

    def place_of(self, country: str) -> Place | None:
        """The point of a country; None before `start`."""
        atlas = self.geo.atlas
        return None if atlas is None else atlas.countries.place(country)

    @property
    def countries(self) -> Countries | None:
        atlas = self.geo.atlas
        return None if atlas is None else atlas.countries

    def _located(self) -> None:
        """Addresses are elsewhere than before."""
        self.keeper.changed()

    def configure(self, config: Config) -> None:
        """Another configuration: its nodes, coverage and rules. Raises ConfigurationError, and then nothing
        has changed."""
        router = config.router
        coverage, rules = configured.coverage_of(router), configured.rules_of(router)
        self.registry.configure(
            configured.nodes(router, self.place_of), configured.announce_rules(router, self._token)
        )
        self.config = config
        self.keeper.configure(coverage=coverage, rules=rules)


def signer_of(config: Config) -> Signer | None:
    """None where routers and nodes share no secret. Raises ConfigurationError."""
    router = config.router
    secret = read_secret(router.secret, router.secret_file, "router.secret_file")
    return Signer(secret) if secret else None


def read_secret(text: str, file: str, path: str) -> str:
    """A secret that stands in the configuration, or in a file it names; "" for none. Raises
    ConfigurationError naming `path`, never the secret."""
    if not file:
        return text
    try:
        found = Path(file).read_text("ascii").strip()
    except OSError as error:
        raise ConfigurationError(path, f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(path, f"{file} is not ASCII text") from None
    if not found or len(found) > SECRET_BYTES_MAX or not found.isprintable() or " " in found:
        raise ConfigurationError(path, f"{file} does not hold one line of printable signs without spaces")
    return found
