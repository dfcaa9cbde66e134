"""Builds the chain of upstreams that a configuration describes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from edgeproxy.config import Config, Parent, Siblings
from edgeproxy.errors import ConfigurationError
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.chain import Chain
from edgeproxy.upstream.client import CurlUpstream, Resolves
from edgeproxy.upstream.egress import Egress, egress
from edgeproxy.upstream.health import Breaker
from edgeproxy.upstream.lanes import Lanes
from edgeproxy.upstream.place import place_of
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.upstream import Identity, Reach, Upstream


def build_chain(
    config: Config,
    resolver: Resolves,
    *,
    metrics: Metrics,
    tasks: Tasks,
    report: Callable[[str], None],
    around: Callable[[Upstream, Sequence[Remote]], Upstream] = lambda upstream, _: upstream,
) -> Chain:
    """Reads the files that parents and siblings name; `around` may wrap the way to them. Raises
    ConfigurationError."""
    lanes = partial(build_lanes, config, resolver, metrics, egress_of(config, report))
    remotes = [*_siblings(config.siblings), *map(_parent, config.parent)]
    origins = lanes()
    return Chain(
        remotes,
        around(lanes(), remotes) if remotes else origins,
        Breaker(origins, tasks=tasks),
        metrics=metrics,
        tasks=tasks,
        report=report,
        own=place_of(config.siblings.own, "siblings.own")[0].authority if config.siblings.nodes else "",
        origin_forbidden=config.upstream.origin == "never",
    )


def build_lanes(config: Config, resolver: Resolves, metrics: Metrics, out: Egress) -> Lanes:
    """Two clients, for small requests and for bulk, that leave by `out`."""
    small = CurlUpstream(config.upstream, resolver, metrics=metrics, egress=out)
    return Lanes(small, CurlUpstream(config.upstream, resolver, metrics=metrics, bulk=True, egress=out))


def egress_of(config: Config, report: Callable[[str], None] = lambda _: None) -> Egress:
    """How this node leaves its network; `report` is told what the environment says and is not done. Raises
    ConfigurationError."""
    listen, settings = config.listen, config.upstream
    listens = (*listen.http, *listen.https, *listen.proxy)
    found, lines = egress(settings.proxy, settings.direct, os.environ, listens)
    for line in lines:
        report(line)
    return found


def files_of(config: Config) -> tuple[tuple[str, int, int], ...]:
    """The files that parents and siblings name, with what changes when they do."""
    names = [config.upstream.ca_file]
    remotes: tuple[Parent | Siblings, ...] = (*config.parent, config.siblings)
    for one in remotes:
        names += [one.token_file, one.ca_file, one.certificate, one.key]
    found = []
    for name in sorted({name for name in names if name}):
        try:
            state = Path(name).stat()
        except OSError:
            found.append((name, 0, 0))
        else:
            found.append((name, state.st_mtime_ns, state.st_ino))
    return tuple(found)


def _parent(parent: Parent) -> Remote:
    path = f"parent.{parent.name or parent.url}"
    origin, prefix = place_of(parent.url, f"{path}.url")
    candidate = Candidate(
        parent.name or origin.authority,
        Role.PARENT,
        tuple(parent.sites),
        parent.preference,
        parent.weight,
        parent.region,
        is_mirror=parent.asks == "own-name",
    )
    return Remote(
        candidate,
        origin,
        _reach(parent, path, pins_of(parent.pins)),
        prefix if candidate.is_mirror else "",
        _token(parent, path),
        parent.http2,
    )


def pins_of(pins: Iterable[str]) -> str:
    """As libcurl takes them."""
    return ";".join(pin if pin.startswith("sha256//") else f"sha256//{pin}" for pin in pins)


def _siblings(siblings: Siblings) -> Iterator[Remote]:
    """Those beside this node; each is called by its place, which is the same name on every node."""
    for url in siblings.nodes:
        if url != siblings.own:
            origin, _ = place_of(url, "siblings.nodes")
            candidate = Candidate(origin.authority, Role.SIBLING)
            reach, token = _reach(siblings, "siblings", ""), _token(siblings, "siblings")
            yield Remote(candidate, origin, reach, token=token, http2=siblings.http2)


def _reach(settings: Parent | Siblings, path: str, pins: str) -> Reach:
    for key in ("ca_file", "certificate", "key"):
        name = getattr(settings, key)
        if name and not Path(name).is_file():
            raise ConfigurationError(f"{path}.{key}", f"{name}: no such file")
    return Reach(
        connect_timeout=settings.connect_timeout,
        head_timeout=settings.head_timeout,
        progress_timeout=settings.progress_timeout,
        verify_tls=settings.verify_tls,
        ca_file=settings.ca_file or None,
        private_addresses=True,  # whoever wrote the configuration chose it
        identity=Identity(pins, settings.certificate, settings.key),
    )


def _token(settings: Parent | Siblings, path: str) -> str:
    if not settings.token_file:
        return settings.token
    try:
        text = Path(settings.token_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}.token_file", f"cannot be read: {error}") from None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(f"{path}.token_file", "holds no token in printable ASCII")
    return text
