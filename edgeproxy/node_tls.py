"""TLS for whoever accepts clients: certificates that are watched, and handshakes with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeproxy.config import Config
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.serving.handshakes import Handshakes
from edgeproxy.serving.negotiation import PROTOCOLS
from edgeproxy.storage.directory import directory_path
from edgeproxy.tasks import Tasks

if TYPE_CHECKING:
    from edgeproxy.serving.tls_watch import TlsWatch


class ClientTls:
    """Nothing without `listen.https`."""

    def __init__(
        self, config: Config, *, clock: Clock, metrics: Metrics, report: Callable[[str], None]
    ) -> None:
        self.handshakes: Handshakes | None = None
        self._watch: TlsWatch | None = None
        if not config.listen.https:
            return
        # What reads certificates takes megabytes and tens of milliseconds: only nodes with TLS have it.
        from edgeproxy.serving.certificates import describe
        from edgeproxy.serving.self_signed import names_wanted
        from edgeproxy.serving.tls import Sources
        from edgeproxy.serving.tls_watch import TlsWatch

        sources = Sources(
            config.tls, directory_path(config.cache.directory), names_wanted(config.listen, config.site)
        )
        watch = self._watch = TlsWatch(sources, tuple(PROTOCOLS), clock=clock, metrics=metrics, report=report)
        self.handshakes = Handshakes(lambda: watch.contexts, describe, config.limits, metrics)

    async def start(self, tasks: Tasks) -> None:
        """Read the certificates, and watch them. Raises ConfigurationError naming what cannot be used."""
        if self._watch is not None:
            await self._watch.start()
            tasks.start(self._watch.run(), "certificates")


def make_certificate(config: Config, now: float) -> None:
    """Make the self-signed certificate, if there is to be one, before several processes want it. Blocks.
    Raises ConfigurationError."""
    if config.listen.https and config.tls.self_signed:
        from edgeproxy.serving.self_signed import ensure, names_wanted

        ensure(directory_path(config.cache.directory), names_wanted(config.listen, config.site), now)
